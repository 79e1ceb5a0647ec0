"""What pages read of the control state: names of the catalogue, people who can grant access. Reads only."""

from django.db.models import Q
from django.utils import timezone

from attribution.models import Project, Team
from governance.models import Membership, Role


def catalogue_names() -> dict[str, str]:
    """slug -> the name that people gave, of teams and projects; a team's name wins where both have the slug."""
    return dict(Project.objects.values_list("slug", "name")) | dict(Team.objects.values_list("slug", "name"))


def owner_names() -> list[str]:
    """Who can grant access now, by name."""
    now = timezone.now()
    held = Membership.objects.filter(
        Q(valid_to__isnull=True) | Q(valid_to__gt=now), role=Role.OWNER, valid_from__lte=now, user__is_active=True
    )
    return sorted({f"{each.user}" for each in held.select_related("user")})
