"""The requests of a day: a pure function of (seed, day, size). No clock, no files.

Sizes come from the derived table of Azure's 2023 conversation trace, stretched by the kind of request; the day has the
rhythm of offices, the night that of batches, and weekends are quiet.
"""

from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from random import Random

from attribution.simulator.company import BUCKETS, OUTPUT, Company, Offer, Project, Size, Use

# Share of a day's requests by hour (UTC): offices, and batches at night.
_OFFICE = (4, 3, 3, 3, 5, 12, 30, 62, 88, 97, 100, 92, 78, 90, 98, 95, 84, 62, 40, 28, 20, 14, 9, 6)
_NIGHT = (100, 100, 95, 90, 80, 50, 15, 5, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5, 8, 15, 30, 60, 90)
_WEEKDAY = (100, 104, 106, 103, 94, 42, 38)  # percent of `size`, Monday first
_EPOCH = date(2026, 1, 1)
# Calls that are counted together are drawn as this many different ones.
_DRAWS = 6
# Days of the month on which a pool is paid for and serves nobody (maintenance).
POOL_IDLE_DAY = {"gpu-west": 3, "ptu-advice": 2}


@dataclass(frozen=True, slots=True)
class Request:
    """One call, or the `calls` of a few minutes that are counted together.

    `tokens` by bucket (see company.BUCKETS), disjoint, of all the calls; `reasoning` is a part of the output."""

    id: str
    second: int  # of the day, when it completed
    project: Project
    use: Use
    band: int
    tokens: tuple[int, int, int, int, int]
    reasoning: int
    environment: str
    latency_ms: int
    failed: bool
    calls: int = 1

    @property
    def offer(self) -> Offer:
        return self.use.offer


@dataclass(frozen=True)
class Surge:
    """A project whose requests are `times` as many on the days [start, end): an agent that runs away, a launch."""

    project: str
    start: date
    end: date
    times: int


class Traffic:
    """Draws days. `size` is the number of requests of a normal weekday."""

    def __init__(self, company: Company, seed: int, size: int, surges: tuple[Surge, ...] = ()) -> None:
        self._surges = surges
        self._seed = seed
        self._size = size
        self._sizes = company.sizes
        self._projects = company.projects
        self._weights = list(accumulate(project.weight for project in company.projects))
        self._shares = [list(accumulate(use.share for use in project.uses)) for project in company.projects]
        self._office = list(accumulate(_OFFICE))
        self._night = list(accumulate(_NIGHT))

    def count(self, day: date, rng: Random) -> int:
        growth = 100 + max(-30, min((day - _EPOCH).days // 8, 150))  # percent: the company finds more uses every week
        noise = 94 + rng.randrange(13)
        return max(1, self._size * _WEEKDAY[day.weekday()] * growth * noise // 1_000_000)

    def day(self, day: date) -> Iterator[Request]:
        rng = Random(f"{self._seed}|{day.isoformat()}")
        for _ in range(self.count(day, rng)):
            position = _pick(rng, self._weights)
            project = self._projects[position]
            use = project.uses[_pick(rng, self._shares[position])]
            request = self._request(rng, day, project, use)
            if POOL_IDLE_DAY.get(use.offer.pool) != day.day:
                yield request
                yield from self._again(day, request)

    def _again(self, day: date, like: Request) -> Iterator[Request]:
        """What a surge adds beside `like`: drawn apart, so that the rest of the day stays as it is without one."""
        times = max((each.times for each in self._surges if _covers(each, like.project, day)), default=1)
        rng = Random(f"{self._seed}|{like.id}")
        for _ in range(times - 1):
            yield self._request(rng, day, like.project, like.use)

    def _request(self, rng: Random, day: date, project: Project, use: Use) -> Request:
        kind = use.kind
        hour = _pick(rng, self._night if kind.night else self._office)
        second = hour * 3600 + rng.randrange(3600)
        calls = _calls(rng, project, day)
        # Calls of an offer with a long band are counted by band, so they must be alike.
        draws = 1 if calls == 1 or use.offer.long_from is not None else _DRAWS
        sizes = [draw_size(rng, self._sizes) for _ in range(draws)]
        context = max(1, sum(size[0] for size in sizes) * kind.context // (100 * draws))
        output = sum(size[1] for size in sizes) * kind.output // (100 * draws)
        tokens = (
            _buckets(rng, use, context, output)
            if calls == 1
            else _buckets_of_many(rng, use, context * calls, output * calls)
        )
        failed = calls == 1 and rng.random() < 0.012
        environment = "staging" if rng.random() < 0.08 else "production"
        return Request(
            id=f"{rng.getrandbits(96):024x}",
            second=second,
            project=project,
            use=use,
            band=0 if use.offer.band_of(context) is use.offer.bands[0] else 1,
            tokens=tokens,
            reasoning=tokens[OUTPUT] * kind.reasoning // 100,
            environment=environment,
            latency_ms=180 + tokens[OUTPUT] * 11 + context // 60 + rng.randrange(400),
            failed=failed,
            calls=calls,
        )


def draw_size(rng: Random, sizes: tuple[Size, ...]) -> tuple[int, int]:
    """(context, generated) tokens of one conversation request of the trace's table."""
    band = sizes[int(rng.random() * len(sizes))]
    context = band.context_from + int(rng.random() * (band.context_to - band.context_from + 1))
    place = rng.random() * (len(band.generated) - 1)
    low = int(place)
    step = band.generated[low + 1] - band.generated[low]
    return context, band.generated[low] + int((place - low) * step)


def _covers(surge: Surge, project: Project, day: date) -> bool:
    return surge.project == project.slug and surge.start <= day < surge.end


def _pick(rng: Random, cumulated: list[int]) -> int:
    return bisect(cumulated, rng.randrange(cumulated[-1]))


def _calls(rng: Random, project: Project, day: date) -> int:
    """How many requests a line stands for: around the project's `calls`, which follow its trend."""
    if project.calls == 1:
        return 1
    percent = 100 + project.trend * (day - _EPOCH).days // 30
    return max(2, project.calls * percent * rng.randrange(70, 131) // 10_000)


def _buckets_of_many(rng: Random, use: Use, context: int, output: int) -> tuple[int, int, int, int, int]:
    """As `_buckets`, of many requests: their caches by what is usual."""
    offer, kind = use.offer, use.kind
    jitter = rng.randrange(80, 101)
    read = write5 = write1h = 0
    if offer.has(BUCKETS.index("cache_read")):
        read = context * kind.hit * kind.cached * jitter // 1_000_000
    if offer.has(BUCKETS.index("cache_write_5m")):
        rest = context - read
        write5, write1h = (rest * percent * jitter // 15_000 for percent in (kind.write5, kind.write1h))
    return context - read - write5 - write1h, read, write5, write1h, output if offer.has(OUTPUT) else 0


def _buckets(rng: Random, use: Use, context: int, output: int) -> tuple[int, int, int, int, int]:
    """Splits the context into the buckets that the offer sells; their sum is the context."""
    offer, kind = use.offer, use.kind
    draw = rng.randrange(100), rng.randrange(100), rng.randrange(60, 101)
    read = write5 = write1h = 0
    if offer.has(BUCKETS.index("cache_read")) and draw[0] < kind.hit:
        read = context * kind.cached * draw[2] // 10_000
    if offer.has(BUCKETS.index("cache_write_5m")):
        rest = context - read
        if draw[1] < kind.write1h:
            write1h = rest * draw[2] // 120
        elif draw[1] < kind.write1h + kind.write5:
            write5 = rest * draw[2] // 120
    if not offer.has(OUTPUT):
        output = 0
    return context - read - write5 - write1h, read, write5, write1h, output
