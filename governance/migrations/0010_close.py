import attribution.models.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0009_decisions"),
    ]

    operations = [
        migrations.CreateModel(
            name="ClosedPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("month", models.CharField(max_length=7, unique=True)),
                ("closed_at", models.DateTimeField()),
                ("closed_by", models.CharField(max_length=200)),
                ("reason", models.TextField(blank=True)),
                ("open_points", models.JSONField(default=list)),
                ("commit_seq", models.PositiveBigIntegerField()),
                ("fingerprint", models.CharField(blank=True, max_length=64)),
                ("exchange_rates", models.JSONField(default=list)),
                ("forecasts", models.JSONField(default=list)),
                ("pinned_revisions", models.PositiveIntegerField(default=0)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="ClosedFigure",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=8)),
                ("provider", models.CharField(max_length=64)),
                ("team", models.CharField(max_length=200, null=True)),
                ("project", models.CharField(max_length=200, null=True)),
                ("billed_cost", attribution.models.fields.MoneyField(max_length=48, null=True)),
                ("effective_cost", attribution.models.fields.MoneyField(max_length=48, null=True)),
                ("list_cost", attribution.models.fields.MoneyField(max_length=48, null=True)),
                ("contracted_cost", attribution.models.fields.MoneyField(max_length=48, null=True)),
                ("estimated_cost", attribution.models.fields.MoneyField(max_length=48, null=True)),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="figures",
                        to="governance.closedperiod",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="BudgetOutcome",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("team", models.CharField(max_length=100, null=True)),
                ("scope_key", models.CharField(max_length=900)),
                ("version", models.PositiveIntegerField()),
                ("currency", models.CharField(max_length=8)),
                ("basis", models.CharField(max_length=16)),
                ("zone", models.CharField(max_length=64)),
                ("number", models.PositiveIntegerField()),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("limit", attribution.models.fields.MoneyField(max_length=48)),
                ("consumed", attribution.models.fields.MoneyField(max_length=48)),
                ("billed", attribution.models.fields.MoneyField(max_length=48)),
                ("estimated", attribution.models.fields.MoneyField(max_length=48)),
                ("forecast", models.JSONField(null=True)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="outcomes", to="governance.budget"
                    ),
                ),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outcomes",
                        to="governance.closedperiod",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=8)),
                ("into", models.CharField(max_length=8)),
                ("day", models.DateField()),
                ("rate", attribution.models.fields.MoneyField(max_length=48)),
                ("source", models.CharField(max_length=200)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("currency", "into", "day"), name="one_exchange_rate_a_day")
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="budgetoutcome",
            constraint=models.UniqueConstraint(fields=("budget", "period_start"), name="one_outcome_a_period"),
        ),
    ]
