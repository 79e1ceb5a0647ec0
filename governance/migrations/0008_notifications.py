from django.conf import settings
from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):
    dependencies = [
        ("governance", "0007_anomalies"),
        ("governance", "0002_people"),
    ]

    operations = [
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('kind', models.CharField(choices=[('email', 'E-mail'), ('slack', 'Slack'), ('teams', 'Microsoft Teams'), ('pagerduty', 'PagerDuty'), ('webhook', 'Webhook')], max_length=16)),
                ('team', models.CharField(blank=True, max_length=100, null=True)),
                ('sealed', models.TextField(blank=True)),
                ('reference', models.CharField(blank=True, max_length=300)),
                ('signing', models.TextField(blank=True)),
                ('hint', models.CharField(max_length=200)),
                ('is_active', models.BooleanField(default=True)),
                ('created_by', models.CharField(max_length=200)),
                ('created_at', models.DateTimeField()),
                ('removed_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('reference__gt', ''), ('sealed', '')), models.Q(('reference', ''), ('sealed__gt', '')), _connector='OR'), name='channel_has_one_address')],
            },
        ),
        migrations.CreateModel(
            name='Notification',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=40)),
                ('team', models.CharField(blank=True, max_length=100, null=True)),
                ('budget_id', models.BigIntegerField(blank=True, null=True)),
                ('subject', models.CharField(max_length=200)),
                ('figures', models.JSONField(default=dict)),
                ('link_path', models.CharField(max_length=300)),
                ('once_key', models.CharField(max_length=200, unique=True)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'indexes': [models.Index(fields=['team', '-id'], name='governance__team_4400ad_idx')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=32, unique=True)),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sending', 'Sending'), ('sent', 'Sent'), ('failed', 'Failed'), ('uncertain', 'Unknown'), ('cancelled', 'Cancelled'), ('bundled', 'In a digest')], default='waiting', max_length=10)),
                ('is_digest', models.BooleanField(default=False)),
                ('due_at', models.DateTimeField()),
                ('attempts', models.PositiveSmallIntegerField(default=0)),
                ('holder', models.CharField(blank=True, max_length=32)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('handed_at', models.DateTimeField(blank=True, null=True)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.CharField(blank=True, max_length=300)),
                ('created_at', models.DateTimeField()),
                ('bundle', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='bundled', to='governance.delivery')),
                ('channel', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='governance.channel')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to=settings.AUTH_USER_MODEL)),
                ('notification', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='governance.notification')),
            ],
            options={
                'indexes': [models.Index(fields=['state', 'due_at'], name='governance__state_870693_idx'), models.Index(fields=['state', 'lease_until'], name='governance__state_14ae79_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('channel__isnull', False), ('user__isnull', True)), models.Q(('channel__isnull', True), ('user__isnull', False)), _connector='OR'), name='delivery_has_one_recipient'), models.UniqueConstraint(condition=models.Q(('channel__isnull', False)), fields=('notification', 'channel'), name='one_delivery_a_channel'), models.UniqueConstraint(condition=models.Q(('user__isnull', False)), fields=('notification', 'user'), name='one_delivery_a_person')],
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('budget_id', models.BigIntegerField(blank=True, null=True)),
                ('kinds', models.JSONField(blank=True, default=list)),
                ('mode', models.CharField(choices=[('now', 'at once'), ('daily', 'in a daily digest'), ('off', 'not at all')], default='now', max_length=8)),
                ('quiet_from', models.TimeField(blank=True, null=True)),
                ('quiet_until', models.TimeField(blank=True, null=True)),
                ('zone', models.CharField(default='UTC', max_length=64)),
                ('digest_at', models.TimeField(blank=True, null=True)),
                ('channel', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to='governance.channel')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='subscriptions', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('channel__isnull', False), ('user__isnull', True)), models.Q(('channel__isnull', True), ('user__isnull', False)), _connector='OR'), name='subscription_has_one_subject'), models.UniqueConstraint(condition=models.Q(('budget_id__isnull', True), ('user__isnull', False)), fields=('user',), name='one_general_subscription_a_user'), models.UniqueConstraint(condition=models.Q(('budget_id__isnull', False), ('user__isnull', False)), fields=('user', 'budget_id'), name='one_budget_subscription_a_user'), models.UniqueConstraint(condition=models.Q(('budget_id__isnull', True), ('channel__isnull', False)), fields=('channel',), name='one_general_subscription_a_channel'), models.UniqueConstraint(condition=models.Q(('budget_id__isnull', False), ('channel__isnull', False)), fields=('channel', 'budget_id'), name='one_budget_subscription_a_channel')],
            },
        ),
    ]
