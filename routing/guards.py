"""Does the traffic do worse since a change than before it? Pure: counted requests in, a verdict in words out.

Two guards: the share of requests that failed, and the 95th percentile of latency. Each has a limit: the orchestrator's
objective where somebody set one, else what was seen before the change, with room for chance.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

# How long after it went live a change is taken back because of its traffic.
WATCHED = timedelta(minutes=10)
BASELINE = timedelta(minutes=10)
# Upper bounds, in ms, of the counts in Observation.latency; the last count is above all of them.
LATENCY_MS = (50, 100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 3000, 5000, 10000, 30000)
FEWEST_REQUESTS = 50
# Points of failed requests beyond those before; and how much slower than before, where there is no objective.
FAILED_SLACK_PPM = 20_000
SLOWER_PPM, SLOWER_MS = 1_500_000, 100


@dataclass(frozen=True)
class Traffic:
    """Requests of some minutes. latency: counts by LATENCY_MS."""

    requests: int = 0
    failed: int = 0
    latency: tuple[int, ...] = ()

    def p95_ms(self) -> int | None:
        """The bound under which 95 % of the timed requests stay; None without any."""
        total = sum(self.latency)
        if not total:
            return None
        seen = 0
        for count, bound in zip(self.latency, (*LATENCY_MS, LATENCY_MS[-1] * 2), strict=True):
            seen += count
            if seen * 100 >= total * 95:
                return bound
        return None

    def failed_ppm(self) -> int | None:
        return self.failed * 1_000_000 // self.requests if self.requests else None


@dataclass(frozen=True)
class Guard:
    """One guard now. unit: "%" (of ppm figures) or "ms"; worse: it says that the change is to be taken back."""

    name: str
    unit: str
    limit: int | None
    before: int | None
    now: int | None
    worse: bool
    words: str


def bucket_of(latency_ms: int) -> int:
    """The index into Observation.latency of one request."""
    return next((at for at, bound in enumerate(LATENCY_MS) if latency_ms <= bound), len(LATENCY_MS))


def total(parts: Iterable[tuple[int, int, Sequence[int]]]) -> Traffic:
    """The sum of (requests, failed, latency counts)."""
    requests = failed = 0
    latency = [0] * (len(LATENCY_MS) + 1)
    for one, bad, counts in parts:
        requests, failed = requests + one, failed + bad
        for at, count in enumerate(counts):
            latency[at] += count
    return Traffic(requests, failed, tuple(latency))


def judge(before: Traffic, after: Traffic, objectives: Mapping[str, int]) -> tuple[Guard, Guard]:
    """objectives: errors_ppm, p95_ms, each optional."""
    return _failures(before, after, objectives.get("errors_ppm")), _slowness(before, after, objectives.get("p95_ms"))


def _failures(before: Traffic, after: Traffic, objective: int | None) -> Guard:
    was, now = before.failed_ppm(), after.failed_ppm()
    # Without an objective what was seen before is the measure; an objective that was missed before blames no change.
    limit = max(objective or 0, (was or 0) + (FAILED_SLACK_PPM if objective is None else 0))
    if now is None or after.requests < FEWEST_REQUESTS:
        return Guard(
            "failed requests", "%", limit, was, now, False, f"{after.requests} requests since: too few to tell"
        )
    share = limit / 1_000_000
    chance = 3 * math.sqrt(max(share * (1 - share), 1e-6) / after.requests) * 1_000_000
    worse = now > limit + chance
    words = f"{now / 10_000:.2f} % of {after.requests:,} requests failed since, limit {limit / 10_000:.2f} %"
    return Guard("failed requests", "%", limit, was, now, worse, words)


def _slowness(before: Traffic, after: Traffic, objective: int | None) -> Guard:
    was, now = before.p95_ms(), after.p95_ms()
    timed = sum(after.latency)
    learned = None if was is None else max(was * SLOWER_PPM // 1_000_000, was + SLOWER_MS)
    limit = learned if objective is None else max(objective, was or 0)
    if now is None or limit is None or timed < FEWEST_REQUESTS or sum(before.latency) < FEWEST_REQUESTS:
        return Guard("p95 latency", "ms", limit, was, now, False, f"{timed} timed requests since: too few to tell")
    words = f"p95 is {now:,} ms over {timed:,} requests since, limit {limit:,} ms"
    return Guard("p95 latency", "ms", limit, was, now, now > limit, words)
