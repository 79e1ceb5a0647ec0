from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('attribution', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AttributedUnit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(max_length=64)),
                ('month', models.CharField(max_length=7)),
                ('inputs', models.JSONField(default=dict)),
                ('commit_seq', models.PositiveBigIntegerField(null=True)),
                ('attributed_at', models.DateTimeField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('provider', 'month'), name='one_attributed_unit')],
            },
        ),
    ]
