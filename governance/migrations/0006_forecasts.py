import django.db.models.deletion
from django.db import migrations, models

import attribution.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0005_policies"),
    ]

    operations = [
        migrations.CreateModel(
            name="ForecastEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("launch", "Launch"),
                            ("price_change", "Price change"),
                            ("migration", "Migration"),
                            ("holiday", "Holiday"),
                        ],
                        max_length=16,
                    ),
                ),
                ("title", models.CharField(max_length=200)),
                ("dims", models.JSONField(default=list)),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("starts_on", models.DateField()),
                ("ends_on", models.DateField(blank=True, null=True)),
                ("factor_ppm", models.PositiveBigIntegerField(blank=True, null=True)),
                ("amount_per_day", attribution.models.fields.MoneyField(blank=True, max_length=48, null=True)),
                ("currency", models.CharField(blank=True, max_length=8)),
                ("moved_ppm", models.PositiveBigIntegerField(blank=True, null=True)),
                ("target", models.JSONField(default=list)),
                ("ramp_days", models.PositiveIntegerField(default=0)),
                ("version", models.PositiveIntegerField(default=1)),
                ("made_by", models.CharField(max_length=200)),
                ("made_at", models.DateTimeField()),
                ("withdrawn_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["withdrawn_at", "starts_on"], name="event_by_start")],
            },
        ),
        migrations.CreateModel(
            name="ForecastRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField()),
                ("measure", models.CharField(choices=[("cost", "Cost"), ("tokens", "Tokens")], max_length=16)),
                ("currency", models.CharField(blank=True, max_length=8)),
                ("basis", models.CharField(blank=True, max_length=16)),
                ("first_day", models.DateField()),
                ("inputs_revision", models.CharField(max_length=64)),
                ("method", models.CharField(max_length=32)),
                ("history_days", models.PositiveIntegerField()),
                ("provisional", models.BooleanField()),
                ("leaves", models.JSONField()),
                ("leaf_days", models.JSONField()),
                ("leaf_events", models.JSONField()),
                ("paths", models.BinaryField()),
                ("misses", models.BinaryField()),
                ("misses_dropped", models.BooleanField(default=False)),
                ("calibration", models.JSONField()),
            ],
            options={
                "indexes": [
                    models.Index(fields=["measure", "currency", "basis", "-made_at"], name="forecast_run_newest")
                ],
            },
        ),
        migrations.CreateModel(
            name="ForecastVerdict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("made_at", models.DateTimeField()),
                ("currency", models.CharField(max_length=8)),
                ("basis", models.CharField(max_length=16)),
                ("inputs_revision", models.CharField(max_length=64)),
                ("verdict", models.JSONField()),
            ],
            options={
                "indexes": [models.Index(fields=["currency", "basis", "-made_at"], name="verdict_newest")],
            },
        ),
        migrations.CreateModel(
            name="KeptForecast",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope_key", models.CharField(max_length=700)),
                ("dims", models.JSONField()),
                ("team", models.CharField(blank=True, max_length=100, null=True)),
                ("provisional", models.BooleanField()),
                ("cold_start", models.BooleanField()),
                ("history_days", models.PositiveIntegerField()),
                ("days", models.BinaryField()),
                ("spread", models.BinaryField()),
                ("events", models.JSONField(default=list)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="kept", to="governance.forecastrun"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["scope_key", "run"], name="forecast_by_scope")],
                "constraints": [
                    models.UniqueConstraint(models.F("run"), models.F("scope_key"), name="one_forecast_a_scope_and_run")
                ],
            },
        ),
    ]
