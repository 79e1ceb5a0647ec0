"""What a person may see, as a value. Made in one place (governance.identity.scoping), obeyed by every selector."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TeamScope:
    """Either everything, or the rows of `teams` (slugs, with all teams below them already included).

    A reader without rows of a team sees no row of it, no total with it in, and no name of it.
    """

    everything: bool = False
    teams: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return not self.everything and not self.teams

    def allows(self, team: str | None) -> bool:
        return self.everything or (team is not None and team in self.teams)

    def narrowed_to(self, teams: frozenset[str]) -> "TeamScope":
        """The part of this scope that lies in `teams` (for a token with fewer rights than its person)."""
        return TeamScope(teams=teams if self.everything else self.teams & teams)


NOTHING = TeamScope()
EVERYTHING = TeamScope(everything=True)
