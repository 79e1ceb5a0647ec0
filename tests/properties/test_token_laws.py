"""Token buckets are disjoint and sum to their totals; what is unknown stays unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.tokens import BUCKETS, ImpossibleUsage, TokenUsage
from attribution.vocabulary import TOKEN_BUCKETS

COUNT = st.integers(0, 2**62)
MAYBE = st.none() | COUNT


@st.composite
def usages(draw, count=MAYBE) -> TokenUsage:
    buckets = {bucket: draw(count) for bucket in BUCKETS}
    output = buckets["output"]
    reasoning = draw(st.none() | st.integers(0, output)) if output is not None else draw(MAYBE)
    return TokenUsage(**buckets, reasoning=reasoning)


def test_the_buckets_are_those_of_the_vocabulary():
    assert tuple(TOKEN_BUCKETS) == BUCKETS


@given(usages(COUNT))
def test_known_buckets_sum_to_the_total(usage):
    assert usage.total == sum(getattr(usage, bucket) for bucket in BUCKETS) == usage.context_tokens + usage.output
    assert usage.unknown == ()


@given(usages())
def test_a_total_counts_what_is_known_and_says_what_is_not(usage):
    known = [getattr(usage, bucket) for bucket in BUCKETS if bucket not in usage.unknown]
    assert usage.total == (sum(known) if known else None)
    assert usage.is_known == bool(known)


@given(usages(COUNT), usages(COUNT))
def test_sums_are_bucket_by_bucket(one, other):
    both = one + other
    assert both == other + one
    assert both.total == one.total + other.total


@given(usages(), usages())
def test_unknown_on_either_side_is_unknown_in_the_sum(one, other):
    assert set((one + other).unknown) == set(one.unknown) | set(other.unknown)


@given(usages(COUNT))
def test_an_inclusive_count_gives_back_the_same_buckets(usage):
    assert (
        TokenUsage.from_inclusive(
            input_tokens=usage.context_tokens,
            cache_read=usage.cache_read,
            cache_write_5m=usage.cache_write_5m,
            cache_write_1h=usage.cache_write_1h,
            output=usage.output,
            reasoning=usage.reasoning,
        )
        == usage
    )


def test_an_inclusive_count_without_cache_counts_is_all_uncached():
    assert TokenUsage.from_inclusive(input_tokens=100, output=7) == TokenUsage(input_uncached=100, output=7)
    assert TokenUsage.from_inclusive(input_tokens=None, cache_read=5).input_uncached is None
    # 1,000 in, of which 600 read from the cache and 100 written to it.
    usage = TokenUsage.from_inclusive(input_tokens=1_000, cache_read=600, cache_write_5m=100)
    assert (usage.input_uncached, usage.context_tokens, usage.total) == (300, 1_000, 1_000)


@pytest.mark.parametrize("field", [*BUCKETS, "reasoning"])
def test_negative_counts_are_impossible(field):
    with pytest.raises(ImpossibleUsage, match="never negative") as caught:
        TokenUsage(**{field: -1})
    assert caught.value.field == field


def test_a_part_is_no_larger_than_its_whole():
    with pytest.raises(ImpossibleUsage, match="exceeds output") as caught:
        TokenUsage(output=10, reasoning=11)
    assert caught.value.field == "reasoning"
    with pytest.raises(ImpossibleUsage, match="exceed input"):
        TokenUsage.from_inclusive(input_tokens=10, cache_read=8, cache_write_5m=3)


@pytest.mark.parametrize("count", [1.0, "1", True])
def test_counts_are_whole_numbers(count):
    with pytest.raises(TypeError):
        TokenUsage(output=count)


def test_nothing_known_is_unknown_and_not_zero():
    assert TokenUsage().total is None
    assert TokenUsage(output=0).total == 0
