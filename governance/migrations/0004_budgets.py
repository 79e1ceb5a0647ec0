import attribution.models.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0003_colours"),
    ]

    operations = [
        migrations.CreateModel(
            name="LearnedEstimates",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("fingerprint", models.CharField(max_length=64, unique=True)),
                ("learned_at", models.DateTimeField()),
                ("ratios", models.JSONField(default=list)),
                ("carried", models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name="Budget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200)),
                ("dims", models.JSONField(blank=True, default=list)),
                ("scope_key", models.CharField(default="all", max_length=900)),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("currency", models.CharField(default="USD", max_length=8)),
                (
                    "basis",
                    models.CharField(
                        choices=[
                            ("effective", "Effective"),
                            ("billed", "Billed"),
                            ("list", "List"),
                            ("contracted", "Contracted"),
                        ],
                        default="effective",
                        max_length=16,
                    ),
                ),
                ("amount", attribution.models.fields.MoneyField(max_length=48)),
                ("growth_ppm", models.IntegerField(default=0)),
                (
                    "rollover",
                    models.CharField(
                        choices=[
                            ("none", "Nothing"),
                            ("unused", "What was left"),
                            ("both", "What was left or overspent"),
                        ],
                        default="none",
                        max_length=8,
                    ),
                ),
                ("rollover_cap", attribution.models.fields.MoneyField(blank=True, max_length=48, null=True)),
                (
                    "period_kind",
                    models.CharField(
                        choices=[("month", "Month"), ("quarter", "Quarter"), ("week", "Week"), ("dates", "Own dates")],
                        default="month",
                        max_length=8,
                    ),
                ),
                ("zone", models.CharField(default="UTC", max_length=64)),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField(blank=True, null=True)),
                ("hard", models.BooleanField(default=False)),
                ("tell_actual_ppm", models.JSONField(blank=True, default=list)),
                ("tell_forecast_ppm", models.JSONField(blank=True, default=list)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=200)),
                ("updated_at", models.DateTimeField()),
                ("updated_by", models.CharField(max_length=200)),
                ("archived_at", models.DateTimeField(blank=True, null=True)),
                (
                    "copied_from",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="copies",
                        to="governance.budget",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("team", models.CharField(blank=True, max_length=100)),
                ("key", models.CharField(blank=True, max_length=300)),
                ("model", models.CharField(blank=True, max_length=200)),
                ("provider", models.CharField(blank=True, max_length=64)),
                ("unit", models.CharField(choices=[("tokens", "Tokens"), ("requests", "Requests")], max_length=16)),
                (
                    "window",
                    models.CharField(
                        choices=[("minute", "a minute"), ("day", "a day"), ("month", "a month")], max_length=8
                    ),
                ),
                ("limit", models.PositiveBigIntegerField()),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=200)),
                ("updated_at", models.DateTimeField()),
                ("updated_by", models.CharField(max_length=200)),
                ("archived_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("archived_at__isnull", True)),
                        fields=("team", "key", "model", "provider", "unit", "window"),
                        name="one_standing_quota",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ThresholdPassed",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_start", models.DateTimeField()),
                ("measure", models.CharField(choices=[("actual", "Actual"), ("forecast", "Forecast")], max_length=16)),
                ("threshold_ppm", models.PositiveIntegerField()),
                ("found_at", models.DateTimeField()),
                ("consumed", attribution.models.fields.MoneyField(max_length=48)),
                ("limit", attribution.models.fields.MoneyField(max_length=48)),
                ("expected", attribution.models.fields.MoneyField(blank=True, max_length=48, null=True)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="passed", to="governance.budget"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(fields=["team", "archived_at"], name="governance__team_29182b_idx"),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.UniqueConstraint(
                condition=models.Q(("archived_at__isnull", True)), fields=("name",), name="one_standing_budget_a_name"
            ),
        ),
        migrations.AddConstraint(
            model_name="thresholdpassed",
            constraint=models.UniqueConstraint(
                fields=("budget", "period_start", "measure", "threshold_ppm"), name="one_threshold_a_period"
            ),
        ),
    ]
