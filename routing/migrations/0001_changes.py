from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("attribution", "0006_prices"),
    ]

    operations = []
