from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0010_close"),
    ]

    operations = [
        migrations.AddField(
            model_name="servicetoken",
            name="may_write",
            field=models.BooleanField(default=False),
        ),
    ]
