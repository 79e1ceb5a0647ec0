"""What an hour of capacity costs a request: weights of its tokens. Pure.

A capacity line (GPU hours, provisioned throughput, PTUs) has no rate per token, so its cost is shared by weighted
tokens. Weights are integers, in tenths of an uncached prompt token, so that shares stay exact.
"""

from dataclasses import dataclass

from attribution.tokens import TokenUsage


@dataclass(frozen=True)
class CapacityWeights:
    """Tenths of an uncached prompt token that one token of each kind weighs; `version` is stored with every share made
    by it."""

    version: str
    prompt: int
    cached: int
    output: int

    def of(self, usage: TokenUsage) -> int:
        """The weight of some usage; a bucket that is unknown weighs nothing, and the usage's share says so by its
        absence."""
        prompt = (usage.input_uncached or 0) + (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
        return prompt * self.prompt + (usage.cache_read or 0) * self.cached + (usage.output or 0) * self.output


# Until decode and prefill times of the engine itself are read (then learned per model, hardware and day): w_out = 4.
# Moving it from 4 to 8 moved shares of real clients by -22 to +27 %, so the version stands in `method_version`.
FALLBACK = CapacityWeights(version="capacity-1(in=1,cached=0.1,out=4)", prompt=10, cached=1, output=40)
