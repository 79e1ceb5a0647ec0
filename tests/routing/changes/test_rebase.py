"""Laws of carrying a change over to what stands now."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.desired import DesiredState, Quota, Route, Target, Tier
from routing.rebase import Overlaps, merge, team_of, touched

TEAMS = ("ads", "search", "labs")
A, B = (Target(name, "aws", "eu", f"http://{name}:1") for name in "ab")


def state(weights: dict[str, int], quotas: dict[str, int]) -> DesiredState:
    routes = tuple(
        Route("m", (Tier.of({"a": share, "b": 1_000_000 - share}),), team) for team, share in weights.items()
    )
    return DesiredState("edge", 1, (A, B), routes, quotas=tuple(Quota(team, rpm=rpm) for team, rpm in quotas.items()))


shares = st.dictionaries(st.sampled_from(TEAMS), st.integers(1, 999_999))
limits = st.dictionaries(st.sampled_from(TEAMS), st.integers(1, 900))
states = st.builds(state, shares, limits)


def carried(base: DesiredState, mine: DesiredState, theirs: DesiredState) -> str | tuple[str, ...]:
    try:
        return merge(base, mine, theirs).digest()
    except Overlaps as error:
        return error.subjects


@given(states, states)
def test_nothing_of_others_changes_nothing(base: DesiredState, mine: DesiredState):
    assert merge(base, mine, base).digest() == mine.digest()


@given(states, states)
def test_nothing_of_mine_is_what_the_others_want(base: DesiredState, theirs: DesiredState):
    assert merge(base, base, theirs).digest() == theirs.digest()


@given(states, states, states)
def test_the_order_of_two_changes_never_matters(base: DesiredState, one: DesiredState, other: DesiredState):
    assert carried(base, one, other) == carried(base, other, one)


@given(states, states)
def test_a_change_can_be_undone_on_itself(base: DesiredState, mine: DesiredState):
    assert merge(mine, base, mine).digest() == base.digest()


def test_both_changing_one_thing_differently_is_told():
    base, mine, theirs = state({"ads": 1}, {}), state({"ads": 2}, {}), state({"ads": 3}, {})
    with pytest.raises(Overlaps, match="route ads/m"):
        merge(base, mine, theirs)


def test_the_team_of_a_change_is_the_one_that_it_alone_touches():
    base = state({"ads": 1, "search": 5}, {})
    assert team_of(base, state({"ads": 2, "search": 5}, {})) == "ads"
    assert team_of(base, state({"ads": 2, "search": 6}, {})) is None
    moved = replace(base, targets=(replace(A, region="us"), B))
    assert team_of(base, moved) is None
    assert [each.part for each in touched(base, moved)] == ["targets"]
