import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('attribution', '0006_prices'),
    ]

    operations = [
        migrations.CreateModel(
            name='FreezeWindow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('start', models.DateTimeField()),
                ('end', models.DateTimeField()),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('made_by', models.CharField(max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name='ChangeSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('proposed', 'Proposed'), ('approved', 'Approved'), ('accepted', 'Accepted'), ('live', 'Live'), ('effective', 'Effective'), ('drifted', 'Drifted'), ('rejected', 'Rejected'), ('failed', 'Failed'), ('rolled_back', 'Rolled Back'), ('superseded', 'Superseded'), ('expired', 'Expired')], default='proposed', max_length=16)),
                ('team', models.CharField(blank=True, max_length=200, null=True)),
                ('title', models.CharField(max_length=300)),
                ('kind', models.CharField(max_length=40)),
                ('reference', models.CharField(blank=True, max_length=200)),
                ('words', models.TextField(blank=True)),
                ('inputs', models.JSONField(default=dict)),
                ('proposed_by', models.CharField(max_length=200)),
                ('proposed_by_id', models.BigIntegerField(blank=True, null=True)),
                ('proposed_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('approval', models.CharField(choices=[('none', 'None'), ('standing', 'Standing'), ('one', 'One'), ('two', 'Two')], max_length=16)),
                ('approval_because', models.TextField(blank=True)),
                ('before_generation', models.PositiveBigIntegerField(default=0)),
                ('before', models.JSONField(null=True)),
                ('wanted', models.JSONField()),
                ('differences', models.JSONField(default=list)),
                ('generation', models.PositiveBigIntegerField(blank=True, null=True)),
                ('force', models.BooleanField(default=False)),
                ('urgent', models.BooleanField(default=False)),
                ('withdrawn', models.BooleanField(default=False)),
                ('waits_for', models.TextField(blank=True)),
                ('dry_run', models.JSONField(null=True)),
                ('receipt', models.JSONField(null=True)),
                ('accepted_at', models.DateTimeField(blank=True, null=True)),
                ('live_at', models.DateTimeField(blank=True, null=True)),
                ('effective_at', models.DateTimeField(blank=True, null=True)),
                ('proof_words', models.TextField(blank=True)),
                ('effect_unproven', models.BooleanField(default=False)),
                ('looked_at', models.DateTimeField(blank=True, null=True)),
                ('watched_seconds', models.PositiveIntegerField(default=0)),
                ('bad_looks', models.PositiveIntegerField(default=0)),
                ('rolls_back', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rollbacks', to='routing.changeset')),
            ],
        ),
        migrations.CreateModel(
            name='KillSwitch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('frozen_at', models.DateTimeField()),
                ('frozen_by', models.CharField(max_length=200)),
                ('reason', models.TextField(blank=True)),
                ('resumed_at', models.DateTimeField(blank=True, null=True)),
                ('resumed_by', models.CharField(blank=True, max_length=200)),
                ('is_on', models.BooleanField(default=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('is_on', True)), fields=('is_on',), name='one_stop_at_a_time')],
            },
        ),
        migrations.CreateModel(
            name='Orchestrator',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('kind', models.CharField(max_length=40)),
                ('settings', models.JSONField(default=dict)),
                ('objectives', models.JSONField(default=dict)),
                ('is_enabled', models.BooleanField(default=True)),
                ('generation', models.PositiveBigIntegerField(default=0)),
                ('state', models.CharField(choices=[('unknown', 'Unknown'), ('ok', 'Ok'), ('drifted', 'Drifted'), ('unreachable', 'Unreachable')], default='unknown', max_length=16)),
                ('state_words', models.TextField(blank=True)),
                ('state_since', models.DateTimeField(blank=True, null=True)),
                ('drift', models.JSONField(default=list)),
                ('checked_at', models.DateTimeField(blank=True, null=True)),
                ('usage_cursor', models.TextField(blank=True)),
                ('standing', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='routing.changeset')),
            ],
        ),
        migrations.AddField(
            model_name='changeset',
            name='orchestrator',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='changes', to='routing.orchestrator'),
        ),
        migrations.CreateModel(
            name='PushOutbox',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('generation', models.PositiveBigIntegerField()),
                ('key', models.CharField(max_length=250, unique=True)),
                ('expected_generation', models.PositiveBigIntegerField(default=0)),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('claimed', 'Claimed'), ('done', 'Done'), ('void', 'Void')], default='pending', max_length=8)),
                ('holder', models.CharField(blank=True, max_length=32)),
                ('claimed_at', models.DateTimeField(blank=True, null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('queued_at', models.DateTimeField()),
                ('next_attempt_at', models.DateTimeField()),
                ('error', models.TextField(blank=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pushes', to='routing.changeset')),
                ('orchestrator', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='pushes', to='routing.orchestrator')),
            ],
        ),
        migrations.CreateModel(
            name='Transition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('before', models.CharField(blank=True, max_length=16)),
                ('after', models.CharField(max_length=16)),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=200)),
                ('actor_id', models.BigIntegerField(null=True)),
                ('reason', models.TextField(blank=True)),
                ('inputs', models.JSONField(default=dict)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='transitions', to='routing.changeset')),
            ],
        ),
        migrations.CreateModel(
            name='ChangeApproval',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('person_id', models.BigIntegerField()),
                ('person', models.CharField(max_length=200)),
                ('at', models.DateTimeField()),
                ('note', models.TextField(blank=True)),
                ('change', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='approvals', to='routing.changeset')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('change', 'person_id'), name='a_person_approves_once')],
            },
        ),
        migrations.CreateModel(
            name='Observation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('team', models.CharField(blank=True, max_length=200)),
                ('model', models.CharField(blank=True, max_length=200)),
                ('target', models.CharField(blank=True, max_length=200)),
                ('requests', models.PositiveBigIntegerField(default=0)),
                ('failed', models.PositiveBigIntegerField(default=0)),
                ('refused', models.PositiveBigIntegerField(default=0)),
                ('latency', models.JSONField(default=list)),
                ('orchestrator', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='observations', to='routing.orchestrator')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('orchestrator', 'minute', 'team', 'model', 'target'), name='one_observation_a_minute')],
            },
        ),
        migrations.AddIndex(
            model_name='changeset',
            index=models.Index(fields=['orchestrator', 'status'], name='routing_cha_orchest_0dcad5_idx'),
        ),
        migrations.AddIndex(
            model_name='changeset',
            index=models.Index(fields=['team', '-id'], name='routing_cha_team_b21667_idx'),
        ),
        migrations.AddIndex(
            model_name='changeset',
            index=models.Index(fields=['reference'], name='routing_cha_referen_8482fb_idx'),
        ),
        migrations.AddConstraint(
            model_name='changeset',
            constraint=models.UniqueConstraint(fields=('orchestrator', 'generation'), name='one_change_a_generation'),
        ),
        migrations.AddConstraint(
            model_name='pushoutbox',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['pending', 'claimed'])), fields=('orchestrator',), name='one_open_push'),
        ),
        migrations.AddConstraint(
            model_name='pushoutbox',
            constraint=models.UniqueConstraint(fields=('orchestrator', 'generation'), name='one_push_a_generation'),
        ),
    ]
