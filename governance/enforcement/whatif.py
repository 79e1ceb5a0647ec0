"""What a policy would have done: the past, replayed with `decide` and a controller.

At each tick only what was known then is used: what was spent, and a forecast from the days before. The controller is a
callable, so that the loop's own can be asked; `ladder` is the ladder's own effect: each permitted rung in order, no
more of it than keeps the period within its limit. Rungs that need a person's yes are taken as approved at once, and
the words say so. Pure: no clock, no database. Money is Decimal at the edges; shares are found in floats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from .policy import decide
from .rungs import PPM, ActiveRung, BudgetState, Decision, Disutility, Policy, Rung

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
# A pool keeps a little traffic, so that it stays warm and measured.
MOST_MOVED = 0.95
MOST_REFUSED = 0.9
# The ladder aims a little under the limit: the forecast is not exact.
AIM = 0.98
# How many days before a tick its forecast is made of, by weekday where there are enough.
LOOK_BACK_DAYS = 28
REFUSAL = 2.5
HARM: Mapping[Disutility, float] = {Disutility.FINE: 0.05, Disutility.WORSE: 0.3, Disutility.BAD: 1.0}


@dataclass(frozen=True)
class Used:
    """What one model cost at one provider on one UTC day.

    cost: all of it; movable: the part that follows its tokens (capacity paid by the hour does not), <= cost.
    """

    day: date
    model: str | None
    provider: str | None
    cost: Decimal
    movable: Decimal
    tokens: int


@dataclass(frozen=True)
class Offer:
    """Another way to serve what `model` does at `provider`. ratio: its cost as a part of that, for the same tokens."""

    model: str
    provider: str
    rung: Rung
    to_model: str
    to_provider: str
    ratio: Decimal
    harm: float = 0.0


@dataclass(frozen=True)
class History:
    """The past of a budget's scope, and what else could have served it. Days are UTC; currency: of every amount."""

    currency: str
    used: tuple[Used, ...]
    offers: tuple[Offer, ...] = ()
    first_day: date | None = None


@dataclass(frozen=True)
class Span:
    """One period of the budget's calendar, as UTC days [start, end)."""

    start: date
    end: date
    label: str


@dataclass(frozen=True)
class Way:
    """Traffic of the coming tick: money per day as it was, and the offers there are for it, dearest first."""

    model: str | None
    provider: str | None
    movable: float
    tokens: int
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class Situation:
    """What a controller is asked at one tick. Amounts as floats in the history's currency."""

    now: datetime
    decision: Decision
    rungs: frozenset[Rung]
    limit: float
    spent: float
    rest_fixed: float
    rest_movable: float
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Move:
    """A share of one way's served tokens goes to an offer. way: index in Situation.ways; share: 0 to 1."""

    way: int
    offer: Offer
    share: float


@dataclass(frozen=True)
class Answer:
    """What a controller wants: the moves (of one way they sum to at most 1), and the share of all tokens refused."""

    moves: tuple[Move, ...] = ()
    refused: float = 0.0


Controller = Callable[[Situation], Answer]


@dataclass(frozen=True)
class ReplayDay:
    """One day as it was and as it would have been; `rungs` were in force for some of it."""

    day: date
    actual: Decimal
    would_be: Decimal
    rungs: tuple[Rung, ...]
    moved_tokens: int
    refused_tokens: int


@dataclass(frozen=True)
class ReplayPeriod:
    """One period. first: rung -> the day it would have started. known: at least one day has figures."""

    span: Span
    days: tuple[ReplayDay, ...]
    limit: Decimal
    first: Mapping[Rung, date]
    actual: Decimal
    would_be: Decimal
    moved_tokens: int
    refused_tokens: int
    disutility: Decimal
    known: bool

    @property
    def saved(self) -> Decimal:
        return self.actual - self.would_be

    @property
    def acted(self) -> bool:
        """Would any traffic have been moved or refused?"""
        return bool(self.moved_tokens or self.refused_tokens)

    @property
    def kept(self) -> bool:
        """Over its limit as it was, within it as it would have been."""
        return self.known and self.actual > self.limit >= self.would_be

    @property
    def still_over(self) -> bool:
        return self.known and self.would_be > self.limit

    @property
    def needless(self) -> bool:
        """Acted, though the period ended within its limit anyway."""
        return self.acted and self.actual <= self.limit


@dataclass(frozen=True)
class Replay:
    """A policy replayed over some periods; sums are over the periods. disutility: as the controller counts it."""

    periods: tuple[ReplayPeriod, ...]
    currency: str
    limit: Decimal
    acted_on: tuple[date, ...]
    moved_tokens: int
    refused_tokens: int
    actual: Decimal
    would_be: Decimal
    disutility: Decimal
    asked: tuple[Rung, ...]  # rungs that would have waited for a person's yes

    @property
    def days(self) -> tuple[ReplayDay, ...]:
        return tuple(day for period in self.periods for day in period.days)

    @property
    def saved(self) -> Decimal:
        return self.actual - self.would_be

    @property
    def known(self) -> bool:
        return any(period.known for period in self.periods)


def replay(
    policy: Policy,
    limits: Mapping[Span, Decimal],
    history: History,
    *,
    dims: tuple[tuple[str, str], ...] = (),
    hard: bool = False,
    controller: Controller | None = None,
    ticks_per_day: int = 4,
) -> Replay:
    """`policy` over the periods of `limits` (period -> its limit), in their order."""
    past = _Past(history)
    choose = controller or ladder
    asked: set[Rung] = set()
    periods = tuple(
        _Run(policy, span, limit, past, dims, hard, choose, ticks_per_day, asked).result()
        for span, limit in limits.items()
    )
    acted = tuple(day.day for period in periods for day in period.days if day.moved_tokens or day.refused_tokens)
    return Replay(
        periods=periods,
        currency=history.currency,
        limit=next(reversed(list(limits.values())), ZERO),
        acted_on=acted,
        moved_tokens=sum(period.moved_tokens for period in periods),
        refused_tokens=sum(period.refused_tokens for period in periods),
        actual=sum((period.actual for period in periods), ZERO),
        would_be=sum((period.would_be for period in periods), ZERO),
        disutility=sum((period.disutility for period in periods), ZERO),
        asked=tuple(sorted(asked)),
    )


def words(found: Replay) -> tuple[str, ...]:
    """What a replay says, in sentences."""
    seen = [period for period in found.periods if period.known]
    if not seen:
        return ("There is no history of this scope to replay.",)
    acted = [period for period in seen if period.acted]
    if not acted:
        told = [period for period in seen if period.first]
        first = f"It would have moved and refused nothing in {_count(len(seen), 'period')}"
        return (f"{first}; it would have told people in {len(told)}." if told else f"{first}, and told nobody.",)
    sentences = [
        f"It would have acted in {len(acted)} of {_count(len(seen), 'period')}: "
        f"{_tokens(found.moved_tokens)} moved to something cheaper, "
        f"{_tokens(found.refused_tokens) if found.refused_tokens else 'none'} refused, "
        f"{found.saved:,.2f} {found.currency} saved."
    ]
    kept = [period.span.label for period in seen if period.kept]
    over = [period.span.label for period in seen if period.still_over]
    if kept:
        sentences.append(f"It would have kept {_listed(kept)} within the limit.")
    if over:
        sentences.append(f"{_listed(over)} would have passed the limit all the same.")
    sentences += [
        f"In {period.span.label} it would have acted without need: the period closed at "
        f"{period.actual / period.limit * 100:.0f} %."
        for period in seen
        if period.needless and period.limit
    ]
    return tuple(sentences)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _tokens(count: int) -> str:
    for size, unit in ((10**9, "billion"), (10**6, "million")):
        if count >= size:
            return f"{count / size:,.1f} {unit} tokens"
    return f"{count:,} tokens"


def ladder(situation: Situation) -> Answer:
    """The ladder's own effect: rung by rung, the least harm for a dollar first, until it fits; a stop refuses all."""
    if Rung.STOP in situation.rungs:
        return Answer(refused=1.0)
    left = max(0.0, AIM * situation.limit - situation.spent - situation.rest_fixed)
    if situation.rest_movable <= 0 or left >= situation.rest_movable:
        return Answer()
    served = sum(way.movable for way in situation.ways)
    wanted = served * (1 - left / situation.rest_movable)
    served -= wanted
    shares: dict[tuple[int, Offer], float] = {}
    for step in _climbs(situation):
        if wanted <= 0:
            break
        part = min(1.0, wanted / step.saving)
        shares[step.way, step.offer] = MOST_MOVED * part
        if step.below is not None:
            shares[step.way, step.below] -= MOST_MOVED * part
        wanted -= step.saving * part
    moves = tuple(Move(way, offer, share) for (way, offer), share in shares.items() if share > 0)
    if wanted > 0 and Rung.THROTTLE in situation.rungs:
        return Answer(moves, min(MOST_REFUSED, wanted / (served + wanted)))
    return Answer(moves)


@dataclass(frozen=True)
class _Climb:
    """One step up a way's ladder, from `below` (None: as it was) to `offer`. saving: a day, of all that may move."""

    way: int
    below: Offer | None
    offer: Offer
    saving: float
    harm_per_unit: float


def _climbs(situation: Situation) -> list[_Climb]:
    """Every step that is permitted and saves something, in the order in which they are taken."""
    found: list[_Climb] = []
    for index, way in enumerate(situation.ways):
        below: Offer | None = None
        for offer in way.offers:
            ratio, harm = (float(below.ratio), below.harm) if below else (1.0, 0.0)
            saving = way.movable * MOST_MOVED * (ratio - float(offer.ratio))
            if offer.rung in situation.rungs and saving > 0:
                found.append(_Climb(index, below, offer, saving, (offer.harm - harm) * way.tokens / saving))
                below = offer
    return sorted(found, key=lambda step: (step.offer.rung, step.harm_per_unit, -step.saving))


class _Past:
    """A history, by day, with the forecast that each day's morning had."""

    def __init__(self, history: History) -> None:
        by_day: dict[date, list[Used]] = {}
        for each in history.used:
            by_day.setdefault(each.day, []).append(each)
        offers: dict[tuple[str | None, str | None], list[Offer]] = {}
        for offer in history.offers:
            offers.setdefault((offer.model, offer.provider), []).append(offer)
        self._offers = {
            key: tuple(sorted(each, key=lambda one: (one.rung, -one.ratio))) for key, each in offers.items()
        }
        self.by_day = by_day
        self.first = min(by_day, default=None)
        self._cost = {day: float(sum(each.cost for each in used)) for day, used in by_day.items()}
        self._movable = {day: float(sum(each.movable for each in used)) for day, used in by_day.items()}

    def used(self, day: date) -> list[Used]:
        return self.by_day.get(day, [])

    def offers(self, model: str | None, provider: str | None) -> tuple[Offer, ...]:
        return self._offers.get((model, provider), ())

    def expected(self, day: date, until: date) -> tuple[float, float] | None:
        """(cost, movable part) expected on the days [day, until), from the days before `day`; None without any."""
        known = [day - timedelta(days=back) for back in range(1, LOOK_BACK_DAYS + 1)]
        known = [each for each in known if self.first is not None and each >= self.first]
        if not known:
            return None
        return _by_weekday(self._cost, known, day, until), _by_weekday(self._movable, known, day, until)


def _by_weekday(daily: Mapping[date, float], known: Sequence[date], day: date, until: date) -> float:
    """The sum over [day, until) of the mean of each weekday; of all days where a weekday was not seen twice."""
    mean = sum(daily.get(each, 0.0) for each in known) / len(known)
    means = [mean] * 7
    for weekday in range(7):
        seen = [daily.get(each, 0.0) for each in known if each.weekday() == weekday]
        if len(seen) > 1:
            means[weekday] = sum(seen) / len(seen)
    total = (until - day).days
    full, rest = divmod(max(0, total), 7)
    return full * sum(means) + sum(means[(day + timedelta(days=index)).weekday()] for index in range(rest))


class _Run:
    """One period as it is replayed, tick by tick."""

    def __init__(
        self,
        policy: Policy,
        span: Span,
        limit: Decimal,
        past: _Past,
        dims: tuple[tuple[str, str], ...],
        hard: bool,
        choose: Controller,
        ticks: int,
        asked: set[Rung],
    ) -> None:
        self.policy, self.span, self.limit, self.past = policy, span, limit, past
        self.choose, self.ticks, self.asked = choose, ticks, asked
        self.state = BudgetState(
            budget_id=0,
            team=None,
            dims=dims,
            period_start=_midnight(span.start),
            period_end=_midnight(span.end),
            limit=limit,
            consumed=ZERO,
            hard=hard,
        )
        self.first: dict[Rung, date] = {}
        self.disutility = 0.0

    def result(self) -> ReplayPeriod:
        days = tuple(
            self._day(self.span.start + timedelta(days=index))
            for index in range((self.span.end - self.span.start).days)
        )
        return ReplayPeriod(
            span=self.span,
            days=days,
            limit=self.limit,
            first=dict(self.first),
            actual=sum((day.actual for day in days), ZERO),
            would_be=sum((day.would_be for day in days), ZERO),
            moved_tokens=sum(day.moved_tokens for day in days),
            refused_tokens=sum(day.refused_tokens for day in days),
            disutility=_money(self.disutility),
            known=any(self.past.used(day.day) for day in days),
        )

    def _day(self, day: date) -> ReplayDay:
        used = self.past.used(day)
        actual = sum((each.cost for each in used), ZERO).quantize(MICRO, ROUND_HALF_EVEN)
        if not used:
            return ReplayDay(day, actual, actual, (), 0, 0)
        saved, moved, refused, rungs = ZERO, 0, 0, set[Rung]()
        rest = self.past.expected(day, self.span.end)
        ways = tuple(self._way(each) for each in used)
        for tick in range(self.ticks):
            now = _midnight(day) + timedelta(hours=24 * tick / self.ticks)
            answer, situation = self._tick(now, tick, rest, ways)
            part, moved_part, refused_part = self._effect(answer, used)
            saved, moved, refused = saved + part, moved + moved_part, refused + refused_part
            rungs |= situation.rungs
            spent = self.state.consumed + actual / self.ticks - part
            self.state = replace(self.state, consumed=spent)
        saved = saved.quantize(MICRO, ROUND_HALF_EVEN)
        return ReplayDay(day, actual, actual - saved, tuple(sorted(rungs)), moved, refused)

    def _tick(
        self, now: datetime, tick: int, rest: tuple[float, float] | None, ways: tuple[Way, ...]
    ) -> tuple[Answer, Situation]:
        """rest: (cost, movable part) that the morning expected of the days from this one on; ways: today's traffic."""
        day = now.date()
        gone = tick / self.ticks / max(1, (self.span.end - day).days)
        rest_cost, rest_movable = (rest[0] * (1 - gone), rest[1] * (1 - gone)) if rest else (0.0, 0.0)
        expected = self.state.consumed + _money(rest_cost) if rest else None
        self.state = replace(self.state, forecast_p50=expected)
        decision = decide(self.policy, self.state, now)
        since = {each.rung: each.since for each in self.state.active}
        rungs = frozenset(each.rung for each in decision.allowed)
        self.asked.update(each.rung for each in decision.allowed if not each.approval.automatic)
        active = tuple(ActiveRung(rung, since.get(rung, now)) for rung in sorted(rungs))
        for rung in rungs:
            self.first.setdefault(rung, day)
        self.state = replace(self.state, active=active)
        situation = Situation(
            now=now,
            decision=decision,
            rungs=rungs,
            limit=float(self.limit),
            spent=float(self.state.consumed),
            rest_fixed=max(0.0, rest_cost - rest_movable),
            rest_movable=rest_movable,
            ways=ways,
        )
        acts = rungs & {Rung.PREFER_CHEAPER, Rung.SMALLER_MODEL, Rung.THROTTLE, Rung.STOP}
        return (self.choose(situation) if acts else Answer()), situation

    def _way(self, used: Used) -> Way:
        return Way(
            used.model, used.provider, float(used.movable), used.tokens, self.past.offers(used.model, used.provider)
        )

    def _effect(self, answer: Answer, used: Sequence[Used]) -> tuple[Decimal, int, int]:
        """(saved, tokens moved, tokens refused) in one tick."""
        saved, moved, refused = ZERO, 0, 0
        refused_ppm = round(answer.refused * PPM)
        for move in answer.moves:
            each = used[move.way]
            moved_ppm = round(move.share * (PPM - refused_ppm))
            saved += each.movable * moved_ppm / PPM * (1 - move.offer.ratio)
            moved += each.tokens * moved_ppm // (PPM * self.ticks)
            self.disutility += move.offer.harm * each.tokens * moved_ppm / PPM / PPM / self.ticks
        if refused_ppm:
            saved += sum((each.movable for each in used), ZERO) * refused_ppm / PPM
            tokens = sum(each.tokens for each in used)
            refused = tokens * refused_ppm // (PPM * self.ticks)
            self.disutility += REFUSAL * tokens * refused_ppm / PPM / PPM / self.ticks
        return saved / self.ticks, moved, refused


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _money(amount: float) -> Decimal:
    return Decimal(repr(amount)).quantize(MICRO, ROUND_HALF_EVEN)
