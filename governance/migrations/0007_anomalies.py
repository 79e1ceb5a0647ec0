import django.db.models.deletion
from django.db import migrations, models

import attribution.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0006_forecasts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Anomaly",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cause", models.JSONField()),
                ("cause_key", models.CharField(max_length=700)),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("reason", models.CharField(blank=True, max_length=32)),
                ("currency", models.CharField(max_length=8)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("z", models.DecimalField(decimal_places=2, max_digits=12)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("explained", "Expected"),
                            ("muted", "Muted"),
                            ("resolved", "Resolved"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=500)),
                ("state_by", models.CharField(blank=True, max_length=200)),
                ("state_at", models.DateTimeField()),
                ("muted_until", models.DateTimeField(blank=True, null=True)),
                ("version", models.PositiveIntegerField(default=1)),
                ("opened_at", models.DateTimeField()),
                ("inputs_revision", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["state", "-last_day"], name="anomaly_by_state"),
                    models.Index(fields=["cause_key", "-last_day"], name="anomaly_by_cause"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AnomalyPart",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("model", models.CharField(blank=True, max_length=200, null=True)),
                ("provider", models.CharField(blank=True, max_length=64, null=True)),
                ("actual", attribution.models.fields.MoneyField(max_length=48)),
                ("expected", attribution.models.fields.MoneyField(max_length=48)),
                ("volume", attribution.models.fields.MoneyField(max_length=48)),
                ("price", attribution.models.fields.MoneyField(max_length=48)),
                ("mix", attribution.models.fields.MoneyField(max_length=48)),
                ("new", attribution.models.fields.MoneyField(max_length=48)),
                ("gone", attribution.models.fields.MoneyField(max_length=48)),
                ("unmetered", attribution.models.fields.MoneyField(max_length=48)),
                (
                    "anomaly",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="parts", to="governance.anomaly"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["team"], name="anomaly_part_by_team")],
            },
        ),
    ]
