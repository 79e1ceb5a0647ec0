import attribution.models.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0008_notifications"),
    ]

    operations = [
        migrations.CreateModel(
            name="BudgetControl",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ticked_at", models.DateTimeField()),
                ("period_start", models.DateTimeField()),
                ("price", models.DecimalField(decimal_places=4, default=0, max_digits=12)),
                ("active", models.JSONField(default=list)),
                ("consumed", attribution.models.fields.MoneyField(max_length=48)),
                ("hourly", attribution.models.fields.MoneyField(max_length=48)),
                (
                    "budget",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE, related_name="control", to="governance.budget"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ControlTick",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("hourly", "Every hour"),
                            ("breach", "A limit was passed"),
                            ("miss", "Spend missed its forecast"),
                            ("turn", "A period began"),
                            ("hand", "By hand"),
                        ],
                        max_length=8,
                    ),
                ),
                ("currency", models.CharField(max_length=8)),
                ("budgets", models.PositiveIntegerField()),
                ("cells", models.PositiveIntegerField()),
                ("figures", models.CharField(blank=True, max_length=200)),
                ("commit_seq", models.PositiveBigIntegerField(default=0)),
                ("milliseconds", models.PositiveIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["-at"], name="governance__at_6da27d_idx")],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("budget_name", models.CharField(max_length=200)),
                ("budget_version", models.PositiveIntegerField()),
                ("policy_version", models.PositiveIntegerField()),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("at", models.DateTimeField()),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("currency", models.CharField(max_length=8)),
                ("method", models.CharField(max_length=16)),
                ("price", models.DecimalField(decimal_places=4, max_digits=12)),
                ("limit", attribution.models.fields.MoneyField(max_length=48)),
                ("spent", attribution.models.fields.MoneyField(max_length=48)),
                ("expected_end", attribution.models.fields.MoneyField(max_length=48)),
                ("without", attribution.models.fields.MoneyField(max_length=48)),
                ("margin_ppm", models.PositiveIntegerField(default=0)),
                ("fits", models.BooleanField()),
                ("permitted", models.JSONField(default=list)),
                ("blocked", models.JSONField(default=list)),
                ("alternatives", models.JSONField(default=list)),
                ("cells", models.JSONField(default=list)),
                ("inputs", models.JSONField(default=dict)),
                ("words", models.TextField()),
                (
                    "budget",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="decisions",
                        to="governance.budget",
                    ),
                ),
                (
                    "tick",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="decisions",
                        to="governance.controltick",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="DecisionChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("change", models.PositiveBigIntegerField()),
                ("asks", models.BooleanField(default=False)),
                (
                    "decision",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="governance.decision"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SteeredRoute",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("orchestrator", models.CharField(max_length=100)),
                ("team", models.CharField(max_length=200)),
                ("model", models.CharField(max_length=200)),
                ("base", models.JSONField(null=True)),
                ("wanted", models.JSONField(null=True)),
                ("blocked", models.BooleanField(default=False)),
                ("since", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="steered",
                        to="governance.budget",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["budget", "-at"], name="governance__budget__b9b1da_idx"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["team", "-at"], name="governance__team_e2826a_idx"),
        ),
        migrations.AddConstraint(
            model_name="decisionchange",
            constraint=models.UniqueConstraint(fields=("decision", "change"), name="one_link_a_decision_and_change"),
        ),
        migrations.AddConstraint(
            model_name="steeredroute",
            constraint=models.UniqueConstraint(fields=("orchestrator", "team", "model"), name="one_steered_route"),
        ),
    ]
