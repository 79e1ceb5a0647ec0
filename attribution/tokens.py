"""Token counts in disjoint buckets. Pure; how a source's own counts become these is each source's business.

Sources differ: OpenTelemetry's input_tokens includes what was read from the cache, Anthropic's doesn't; reasoning is
inside output for one and beside it for another. Here every token is in exactly one bucket, and `reasoning` says how
many of `output` were reasoning.
"""

from dataclasses import dataclass
from typing import Self

BUCKETS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class ImpossibleUsage(ValueError):
    """Counts that no request can have: negative, or a part larger than its whole. Names the field."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of one request or of a sum of them. None is unknown, never zero.

    reasoning is a part of output and in no total of its own. Raises ImpossibleUsage.
    """

    input_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None

    def __post_init__(self) -> None:
        for field in (*BUCKETS, "reasoning"):
            count = getattr(self, field)
            if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
                raise TypeError(f"{field} is a whole number or None, not {count!r}")
            if count is not None and count < 0:
                raise ImpossibleUsage(field, f"{field} is {count}; tokens are never negative")
        if self.reasoning is not None and self.output is not None and self.reasoning > self.output:
            raise ImpossibleUsage("reasoning", f"reasoning {self.reasoning} exceeds output {self.output}")

    @classmethod
    def from_inclusive(
        cls,
        *,
        input_tokens: int | None,
        cache_read: int | None = None,
        cache_write_5m: int | None = None,
        cache_write_1h: int | None = None,
        output: int | None = None,
        reasoning: int | None = None,
    ) -> Self:
        """From an input count that includes what was read from and written to the cache, as OpenTelemetry's does.

        Cache counts that the source doesn't have are None and count as nothing cached. Raises ImpossibleUsage when the
        cached parts exceed the input.
        """
        cached = sum(count for count in (cache_read, cache_write_5m, cache_write_1h) if count is not None)
        if input_tokens is not None and cached > input_tokens:
            raise ImpossibleUsage("input_tokens", f"cached tokens {cached} exceed input {input_tokens}")
        return cls(
            input_uncached=None if input_tokens is None else input_tokens - cached,
            cache_read=cache_read,
            cache_write_5m=cache_write_5m,
            cache_write_1h=cache_write_1h,
            output=output,
            reasoning=reasoning,
        )

    @property
    def context_tokens(self) -> int | None:
        """Everything the model read: all buckets but output; None when none of them is known."""
        return _known_sum(self.input_uncached, self.cache_read, self.cache_write_5m, self.cache_write_1h)

    @property
    def total(self) -> int | None:
        """All known tokens; None when no bucket is known. `unknown` says what it leaves out."""
        return _known_sum(*(getattr(self, field) for field in BUCKETS))

    @property
    def unknown(self) -> tuple[str, ...]:
        """The buckets that are not known."""
        return tuple(field for field in BUCKETS if getattr(self, field) is None)

    @property
    def is_known(self) -> bool:
        """Whether any bucket is."""
        return len(self.unknown) < len(BUCKETS)

    def __add__(self, other: Self) -> Self:
        """Bucket by bucket; a bucket that is unknown on either side is unknown in the sum."""
        sums = {}
        for field in (*BUCKETS, "reasoning"):
            one, two = getattr(self, field), getattr(other, field)
            sums[field] = None if one is None or two is None else one + two
        return type(self)(**sums)


def _known_sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
