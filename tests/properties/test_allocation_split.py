"""Laws of the exact split and of a pool's shares, in pure Python."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.allocation import (
    Metered,
    NothingToSplitBy,
    judge_volume,
    pool_shares,
    split_by_largest_remainder,
    split_exactly,
    split_units,
    take_off,
)
from attribution.money import from_units, to_units
from attribution.vocabulary import Method, Reason

units = st.integers(-(10**38) + 1, 10**38 - 1)
weights = st.lists(st.integers(0, 10**15), min_size=1, max_size=20).filter(any)
names = st.sampled_from([None, "", "a", "b", "c"])
owners = st.builds(
    Metered, names, names, st.sampled_from([None, "prod"]), st.sampled_from([None, "k"]), st.integers(0, 10**12)
)


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Metered], dict[tuple[str | None, str | None], int]]:
    found = draw(st.lists(owners, max_size=8, unique_by=lambda owner: owner.key))
    metered = [
        Metered(
            one.team,
            one.project,
            one.environment,
            one.api_key,
            one.tokens,
            one.team is not None or one.project is not None,
        )
        for one in found
    ]
    proven = draw(st.dictionaries(st.tuples(names, names), st.integers(-100, 10**12), max_size=4))
    return metered, {key: tokens for key, tokens in proven.items() if key != (None, None)}


@given(units, weights)
def test_parts_sum_to_the_amount_and_stay_within_one_unit_of_their_share(amount: int, by: list[int]) -> None:
    parts = split_units(amount, by)
    assert sum(parts) == amount
    total = sum(by)
    assert all(abs(part * total - amount * weight) < total for part, weight in zip(parts, by, strict=True))


@given(units, weights)
def test_a_negative_amount_is_the_mirror_of_the_positive(amount: int, by: list[int]) -> None:
    assert split_units(-amount, by) == [-part for part in split_units(amount, by)]


@given(units, weights)
def test_zero_weights_get_nothing(amount: int, by: list[int]) -> None:
    assert all(part == 0 for part, weight in zip(split_units(amount, by), by, strict=True) if weight == 0)


@given(units, weights)
def test_the_money_split_is_the_unit_split(amount: int, by: list[int]) -> None:
    assert [to_units(part) for part in split_exactly(from_units(amount), by)] == split_units(amount, by)


@given(st.integers(-(10**12), 10**12), weights)
def test_cents_split_by_largest_remainder_sum_and_differ_from_the_share_by_less_than_a_cent(
    cents: int, by: list[int]
) -> None:
    parts = split_by_largest_remainder(Decimal(cents).scaleb(-2), by)
    assert sum(parts) == Decimal(cents).scaleb(-2)
    total = sum(by)
    assert all(abs(int(part * 100) * total - cents * weight) < total for part, weight in zip(parts, by, strict=True))


def test_thirds_of_a_cent_go_to_the_largest_remainder_and_ties_to_the_first() -> None:
    # 0.10 over 1, 1, 1: 3.33 cents each; the odd cent goes to the first. Over 1, 1, 2: 2.5, 2.5, 5.
    assert split_by_largest_remainder(Decimal("0.10"), [1, 1, 1]) == [Decimal("0.04"), Decimal("0.03"), Decimal("0.03")]
    assert split_by_largest_remainder(Decimal("-0.10"), [1, 1, 2]) == [
        Decimal("-0.03"),
        Decimal("-0.02"),
        Decimal("-0.05"),
    ]


def test_nothing_to_split_by_is_an_error_not_a_loss() -> None:
    with pytest.raises(NothingToSplitBy):
        split_units(5, [0, 0])
    with pytest.raises(NothingToSplitBy):
        split_by_largest_remainder(Decimal(1), [])
    with pytest.raises(ValueError, match=">= 0"):
        split_units(5, [2, -1])


@given(st.lists(st.integers(0, 10**12), max_size=10), st.integers(-5, 10**13))
def test_what_is_taken_off_is_what_was_proven_and_never_more_than_there_is(by: list[int], proven: int) -> None:
    left = take_off(by, proven)
    assert all(0 <= rest <= weight for rest, weight in zip(left, by, strict=True))
    assert sum(by) - sum(left) == min(max(proven, 0), sum(by))


@given(st.integers(-10, 10**13), st.integers(1, 10**13), st.integers(0, 100_000))
def test_the_verdict_on_volume_never_hides_a_gap(billed: int, metered: int, tolerance: int) -> None:
    method, unmetered = judge_volume(billed, metered, tolerance_ppm=tolerance)
    within = abs(billed - metered) * 1_000_000 <= tolerance * max(billed, 0)
    assert (method, unmetered) == (
        (Method.TOKEN_SHARE, 0)
        if within
        else (Method.TOKEN_SHARE, billed - metered)
        if billed > metered
        else (Method.OVER_METERED, 0)
    )


@given(pools(), st.none() | st.integers(-10, 10**13))
def test_a_pool_gives_every_metered_token_to_its_owner_once(
    pool: tuple[list[Metered], dict[tuple[str | None, str | None], int]], billed: int | None
) -> None:
    metered, proven = pool
    shares = pool_shares(billed, metered, proven, tolerance_ppm=10_000)
    assert bool(shares) == any(one.tokens for one in metered)
    assert all(share.weight > 0 for share in shares)
    by_owner = {share.owner.key: share.weight for share in shares if share.owner is not None}
    assert all(by_owner.get(one.key, 0) <= one.tokens for one in metered)
    assert len(by_owner) == sum(1 for share in shares if share.owner is not None)
    # What is proven for a team leaves its telemetry, up to all of it.
    of_team: Counter[str] = Counter()
    for (team, _), tokens in proven.items():
        if team is not None and tokens > 0:
            of_team[team] += tokens
    for team, tokens in of_team.items():
        used = sum(one.tokens for one in metered if one.team == team)
        left = sum(by_owner.get(one.key, 0) for one in metered if one.team == team)
        assert used - left == min(used, tokens)


@given(pools(), st.integers(1, 10**13), st.randoms())
def test_the_order_of_owners_is_irrelevant(pool: tuple[list[Metered], dict], billed: int, random: object) -> None:
    metered, proven = pool
    shuffled, mixed = list(metered), list(proven.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    expected = pool_shares(billed, metered, proven, tolerance_ppm=10_000)
    assert pool_shares(billed, shuffled, dict(mixed), tolerance_ppm=10_000) == expected


def test_unowned_and_unmetered_stand_beside_the_owners() -> None:
    nobody = Metered(None, None, None, None, 10, owned=False)
    somebody = Metered("a", None, None, None, 30)
    shares = pool_shares(100, [somebody, nobody], {}, tolerance_ppm=10_000)
    assert [(share.method, share.reason, share.weight) for share in shares] == [
        (Method.UNATTRIBUTED, Reason.UNMETERED, 60),
        (Method.UNATTRIBUTED, Reason.UNOWNED, 10),
        (Method.TOKEN_SHARE, None, 30),
    ]
