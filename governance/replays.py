"""What a policy would have done to a scope's real past: reads the serving file, asks the price book, replays.

A history is read once for a scope and a state of the data and kept in memory: while somebody types, only the replay
itself runs. Everything is read within the reader's own scope.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from django.utils import timezone

from attribution import selectors
from attribution.models import BillingAccount, Price, Team
from attribution.pricing.book import PriceBook
from attribution.pricing.store import load_book
from attribution.queries import CostQuery, Dimension, Filter, Granularity, Operator, Order
from attribution.scope import TeamScope
from attribution.selectors import CostRow
from attribution.vocabulary import TOKEN_BUCKETS, Basis, TokenType
from governance.budgets import Calendar, Dims, PeriodKind
from governance.enforcement.rungs import Policy, Rung
from governance.enforcement.whatif import HARM, Controller, History, Offer, Replay, Span, Used, replay
from governance.identity.scoping import teams_below

MONTHS = 3
KEPT_HISTORIES = 64
PAGE = 5000
MAX_PAGES = 20
RATIO = Decimal("0.000001")
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_FIXED = (TokenType.CAPACITY.value, TokenType.OTHER.value)
# A price list names many models that don't answer in another's place: fine-tuned ones, other senses, dated previews.
_SPECIAL = re.compile(
    r"\b(ft|image|audio|tts|realtime|embedding|transcribe|search|preview|live|exp|vision|instruct|robotics|0301|0613)\b"
)
_DIMENSIONS = {
    "project": Dimension.PROJECT,
    "model": Dimension.MODEL,
    "provider": Dimension.PROVIDER,
    "environment": Dimension.ENVIRONMENT,
}
Rates = Mapping[str, Decimal]  # token type -> cost of one token
_Place = tuple[str, str]  # (model, provider)


@dataclass(frozen=True)
class KnownPast:
    """What was used in a scope, and what is known of prices there. mix: (model, provider) -> tokens by type."""

    currency: str
    used: tuple[Used, ...]
    mix: Mapping[_Place, Mapping[str, int]]
    rates: Mapping[_Place, Rates]
    providers: tuple[str, ...]
    book: PriceBook
    listed: frozenset[str]  # models that the book has a price for
    day: date  # the prices of which day the book is asked for

    @property
    def models(self) -> tuple[str, ...]:
        """Models that were used, the dearest first."""
        spent: dict[str, Decimal] = {}
        for each in self.used:
            if each.model is not None and each.movable:
                spent[each.model] = spent.get(each.model, Decimal(0)) + each.movable
        return tuple(sorted(spent, key=lambda model: (-spent[model], model)))


def what_if(
    policy: Policy,
    past: KnownPast,
    limits: Mapping[Span, Decimal],
    *,
    dims: Dims = (),
    hard: bool = False,
    controller: Controller | None = None,
) -> Replay:
    """`policy` over the past, with the offers that its substitutes and the company's providers make.

    A scope that no route can tell apart would only have been told about: see `steerable`.
    """
    if not steerable(dims):
        policy = replace(policy, steps=tuple(step for step in policy.steps if step.rung is Rung.NOTIFY))
        hard = False
    history = History(past.currency, past.used, offers(policy, past))
    return replay(policy, limits, history, dims=dims, hard=hard, controller=controller)


def steerable(dims: Dims) -> bool:
    """Can the loop steer this scope's traffic? Routes tell teams and models apart, nothing narrower."""
    return all(dimension in ("team", "model") for dimension, _ in dims)


def replayed_spans(kind: PeriodKind, zone: str, today: date) -> tuple[Span, ...]:
    """The budget's last whole periods within about three months, oldest first; calendar months for own dates."""
    calendar = Calendar(PeriodKind.MONTH if kind is PeriodKind.DATES else kind, zone, date(2000, 1, 3))
    wanted = {PeriodKind.QUARTER: 1, PeriodKind.WEEK: 13}.get(kind, MONTHS)
    found: list[Span] = []
    span = calendar.of_day(today)
    while span is not None and len(found) < wanted:
        span = calendar.of_day(span.first - timedelta(days=1))
        if span is not None:
            found.insert(0, Span(span.first, span.end, _label(kind, span.first)))
    return tuple(found)


def known_past(scope: TeamScope, dims: Dims, *, currency: str, basis: Basis, today: date | None = None) -> KnownPast:
    """The last months of what `dims` covers, within `scope`; read once for a state of the data."""
    day = today or timezone.now().date()
    snapshot = selectors.snapshot()
    key = (snapshot.fingerprint, scope, dims, currency, basis, day, _prices_key())
    return _memory.get(key) or _memory.put(key, _read(scope, dims, currency, basis, day))


def offers(policy: Policy, past: KnownPast) -> tuple[Offer, ...]:
    """Cheaper ways to serve what was used: the same model at another provider, and the policy's substitutes."""
    found: list[Offer] = []
    for (model, provider), tokens in past.mix.items():
        now = _cost(tokens, past.rates.get((model, provider)))
        if not now:
            continue
        same = _cheapest(past, model, tokens, other_than=provider)
        if same is not None and same[1] < now:
            ratio = _ratio(same[1], now)
            found.append(Offer(model, provider, Rung.PREFER_CHEAPER, model, same[0], ratio))
        for choice in policy.substitutes.get(model, ()):
            best = _cheapest(past, choice.model, tokens)
            if best is not None and best[1] < now:
                harm = HARM[choice.disutility]
                ratio = _ratio(best[1], now)
                found.append(Offer(model, provider, Rung.SMALLER_MODEL, choice.model, best[0], ratio, harm))
    return tuple(found)


def cheaper_models(past: KnownPast, model: str) -> tuple[tuple[str, Decimal], ...]:
    """Models that would have cost less for what `model` was used for, with the ratio.

    Those that are used here come first, then others of the same families; in each, the nearest in price first.
    """
    tokens: dict[str, int] = {}
    now = Decimal(0)
    for place, mix in past.mix.items():
        cost = _cost(mix, past.rates.get(place)) if place[0] == model else None
        if cost:
            now += cost
            tokens = {kind: tokens.get(kind, 0) + mix.get(kind, 0) for kind in {*tokens, *mix}}
    if not now:
        return ()
    here = {each for each, _ in past.rates}
    families = {each.split("-")[0] for each in here}
    alike = {each for each in past.listed if each.split("-")[0] in families and not _SPECIAL.search(each)}
    known = here | alike
    priced = ((each, _cheapest(past, each, tokens)) for each in sorted(known - {model}))
    cheaper = [(each, _ratio(best[1], now)) for each, best in priced if best is not None and best[1] < now]
    return tuple(sorted(cheaper, key=lambda one: (one[0] not in here, -one[1], one[0])))


def conditions(dims: Dims, day: date) -> tuple[Filter, ...]:
    """A budget's scope as filters of a query. A team is itself with all below it on `day`."""
    found = []
    for dimension, value in dims:
        if dimension == "team":
            below = teams_below(Team.objects.filter(slug=value).values_list("pk", flat=True), day)
            # A team that is gone from the catalogue still has its past.
            found.append(Filter(Dimension.TEAM, Operator.IN, tuple(sorted(below | {value}))))
        else:
            found.append(Filter(_DIMENSIONS[dimension], Operator.IN, (value,)))
    return tuple(found)


def _read(scope: TeamScope, dims: Dims, currency: str, basis: Basis, today: date) -> KnownPast:
    start = min(span.start for kind in PeriodKind for span in replayed_spans(kind, "UTC", today))
    # Four weeks more, from which the first day's forecast is made.
    query = CostQuery(
        start - timedelta(days=28),
        today,
        group_by=(Dimension.MODEL, Dimension.PROVIDER),
        filters=conditions(dims, today),
        granularity=Granularity.DAY,
        basis=basis,
        order_by=Order.KEY,
    )
    whole = _rows(scope, query, currency)
    fixed = _rows(scope, query.with_filter(Dimension.TOKEN_TYPE, *_FIXED), currency)
    by_type = replace(
        query.with_filter(Dimension.TOKEN_TYPE, *TOKEN_BUCKETS),
        granularity=Granularity.TOTAL,
        group_by=(Dimension.MODEL, Dimension.PROVIDER, Dimension.TOKEN_TYPE),
    )
    mix, rates = _mix(_rows(scope, by_type, currency))
    providers = tuple(sorted({*BillingAccount.objects.values_list("provider", flat=True)}))
    return KnownPast(currency, _used(whole, fixed), mix, rates, providers, *_book.of(providers), today)


def _rows(scope: TeamScope, query: CostQuery, currency: str) -> list[CostRow]:
    found: list[CostRow] = []
    page = selectors.costs(scope, replace(query, limit=PAGE))
    found += page.rows
    for _ in range(MAX_PAGES):
        if page.next_after is None:
            break
        page = selectors.costs(scope, replace(query, limit=PAGE, after=page.next_after))
        found += page.rows
    return [row for row in found if row.currency == currency]


def _used(whole: Sequence[CostRow], fixed: Sequence[CostRow]) -> tuple[Used, ...]:
    apart = {(row.bucket, row.group): row.amounts for row in fixed}
    found = []
    for row in whole:
        model, provider = row.group
        total = row.amounts.total or Decimal(0)
        rest = apart.get((row.bucket, row.group))
        tied = (rest.total or Decimal(0)) if rest else Decimal(0)
        tokens = (row.amounts.metered_tokens or 0) - ((rest.metered_tokens or 0) if rest else 0)
        # Lines without a model (taxes, credits, network) follow no token.
        movable = max(Decimal(0), total - tied) if model is not None else Decimal(0)
        if row.bucket is not None:
            found.append(Used(row.bucket, model, provider, total, movable, max(0, tokens)))
    return tuple(found)


def _mix(rows: Sequence[CostRow]) -> tuple[dict[_Place, dict[str, int]], dict[_Place, dict[str, Decimal]]]:
    mix: dict[_Place, dict[str, int]] = {}
    rates: dict[_Place, dict[str, Decimal]] = {}
    for row in rows:
        model, provider, kind = row.group
        tokens, cost = row.amounts.metered_tokens, row.amounts.total
        if model is None or provider is None or kind is None or not tokens or cost is None:
            continue
        mix.setdefault((model, provider), {})[kind] = tokens
        rates.setdefault((model, provider), {})[kind] = _WIDE.divide(cost, Decimal(tokens))
    return mix, rates


def _cheapest(
    past: KnownPast, model: str, tokens: Mapping[str, int], *, other_than: str | None = None
) -> tuple[str, Decimal] | None:
    """(provider, cost) of the cheapest place where `model` would have served `tokens`; None where no price is known."""
    found = [
        (cost, provider)
        for provider in past.providers
        if provider != other_than and (cost := _cost(tokens, _rates(past, model, provider))) is not None
    ]
    return (min(found)[1], min(found)[0]) if found else None


def _rates(past: KnownPast, model: str, provider: str) -> Rates | None:
    """What a token costs there: as it was billed, else as the book says."""
    known = past.rates.get((model, provider))
    if known is not None:
        return known
    quote = past.book.quote(provider, model, None, None, past.day) if past.currency == "USD" else None
    return {kind.value: rate for kind, rate in quote.band_for(0).rates.items()} if quote else None


def _cost(tokens: Mapping[str, int], rates: Rates | None) -> Decimal | None:
    """What tokens cost at rates; a kind of cached token without a rate costs as uncached input. None: can't be told."""
    if rates is None:
        return None
    total = Decimal(0)
    for kind, count in tokens.items():
        fallback = None if kind == TokenType.OUTPUT.value else rates.get(TokenType.INPUT_UNCACHED.value)
        rate = rates.get(kind, fallback)
        if rate is None:
            return None
        total = _WIDE.add(total, _WIDE.multiply(Decimal(count), rate))
    return total


def _ratio(cost: Decimal, of: Decimal) -> Decimal:
    return _WIDE.divide(cost, of).quantize(RATIO)


def _label(kind: PeriodKind, first: date) -> str:
    if kind is PeriodKind.QUARTER:
        return f"Q{(first.month + 2) // 3} {first.year}"
    return f"{first.day} {first:%b}" if kind is PeriodKind.WEEK else f"{first:%B}"


def _prices_key() -> int:
    newest = Price.objects.order_by("-pk").values_list("pk", flat=True).first()
    return newest or 0


class _Memory:
    """The histories that were asked for last. One process's own: a lost entry costs a second, never a figure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, KnownPast] = OrderedDict()

    def get(self, key: object) -> KnownPast | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: object, past: KnownPast) -> KnownPast:
        with self._lock:
            self._kept[key] = past
            while len(self._kept) > KEPT_HISTORIES:
                self._kept.popitem(last=False)
        return past


class _Book:
    """The price book as it was last read and the models in it, for as long as no price is added."""

    def __init__(self) -> None:
        self._kept: tuple[object, PriceBook, frozenset[str]] | None = None

    def of(self, providers: tuple[str, ...]) -> tuple[PriceBook, frozenset[str]]:
        if self._kept is None or self._kept[0] != (_prices_key(), providers):
            book = load_book(providers)
            rows = Price.objects.filter(retired_by="", provider__in=providers)
            models = frozenset(rows.values_list("model", flat=True).distinct())
            self._kept = ((_prices_key(), providers), book, models)
        return self._kept[1], self._kept[2]


_memory = _Memory()
_book = _Book()
