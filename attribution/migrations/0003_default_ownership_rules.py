"""Ownership rules that need no setting up: what tags, labels and events themselves call a team, a project, an environment.

Positions start at 1000, so that rules made by people come first.
"""

from django.db import migrations

SPELLINGS = {
    'team': ['team', 'Team', 'user:team', 'user:Team', 'user_team', 'iamPrincipal/team'],
    'project': ['project', 'Project', 'user:project', 'user:Project', 'user_project', 'iamPrincipal/project'],
    'environment': ['environment', 'Environment', 'env', 'Env', 'user:environment', 'user:env'],
}


def add_default_rules(apps, schema_editor):
    rule = apps.get_model('attribution', 'OwnershipRule')
    fields = [(f'tag:{key}', part) for part, keys in SPELLINGS.items() for key in keys]
    fields += [(f'event:{part}', part) for part in SPELLINGS]
    rule.objects.bulk_create(
        rule(position=1000 + 10 * place, kind='proof', field=field, operator='value', takes=part)
        for place, (field, part) in enumerate(fields)
    )


class Migration(migrations.Migration):

    dependencies = [
        ('attribution', '0002_attributed_units'),
    ]

    operations = [
        migrations.RunPython(add_default_rules, migrations.RunPython.noop),
    ]
