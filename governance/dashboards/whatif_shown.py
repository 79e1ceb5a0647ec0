"""A replay as a page shows it: its sentences, its drawing, its table. Pure; the drawing is SVG of classes only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from governance.dashboards import formats
from governance.dashboards.shown import Shown, shown_money
from governance.enforcement.rungs import Rung
from governance.enforcement.whatif import Replay, ReplayPeriod, words

NOT_ACTED = Shown(formats.UNKNOWN, "The step would not have acted", "muted")
NO_FIGURES = "No figures are known for this period"
# Rungs as the drawing numbers them; NOTIFY is drawn hollow, since nothing moves.
NUMBERS = {rung: int(rung) for rung in Rung}


@dataclass(frozen=True)
class Mark:
    """Where a rung would have started."""

    x: str
    y: str
    number: int
    hollow: bool
    title: str


@dataclass(frozen=True)
class Tick:
    """A label on an axis."""

    x: str
    y: str
    text: str


@dataclass(frozen=True)
class Drawing:
    """Lines of cumulative spend, one a period, side by side. Paths are SVG path data."""

    width: int
    height: int
    right: str
    axis: str
    grid: tuple[str, ...]
    actual: tuple[str, ...]
    would_be: tuple[str, ...]
    limit: str
    limit_y: str
    marks: tuple[Mark, ...]
    amounts: tuple[Tick, ...]
    labels: tuple[Tick, ...]


@dataclass(frozen=True)
class PeriodLine:
    """One column of the table: a period, or their sum."""

    label: str
    actual: Shown
    firsts: tuple[Shown, ...]
    moved: Shown
    refused: Shown
    saved: Shown
    would_be: Shown
    over: bool


@dataclass(frozen=True)
class WhatIf:
    """Everything of the panel."""

    known: bool
    acted: bool
    by: str
    sentences: tuple[str, ...]
    span: str
    currency: str
    rungs: tuple[Rung, ...]
    lines: tuple[PeriodLine, ...]
    total: PeriodLine | None
    wide: Drawing | None
    narrow: Drawing | None
    label: str
    notes: tuple[str, ...]

    @property
    def columns(self) -> tuple[PeriodLine, ...]:
        return (*self.lines, self.total) if self.total else self.lines

    @property
    def rows(self) -> tuple[tuple[str, str, tuple[tuple[Shown, str], ...]], ...]:
        """(label, unit, (figure, css) of each period). Periods are columns: they are few, however many the steps."""
        steps = [
            (rung.words, "first day", tuple((one.firsts[place], "") for one in self.columns))
            for place, rung in enumerate(self.rungs)
        ]
        return (
            ("Actual", self.currency, tuple((one.actual, "") for one in self.columns)),
            *steps,
            ("Moved", "tokens", tuple((one.moved, "") for one in self.columns)),
            ("Refused", "tokens", tuple((one.refused, "") for one in self.columns)),
            ("Saved", self.currency, tuple((one.saved, "") for one in self.columns)),
            (
                "Would be",
                self.currency,
                tuple((one.would_be, "bad-figure" if one.over else "") for one in self.columns),
            ),
        )


def build(
    found: Replay,
    rungs: Sequence[Rung],
    *,
    by_controller: bool = False,
    steerable: bool = True,
    substitutes: bool = True,
) -> WhatIf:
    """rungs: the steps of the ladder. by_controller: the loop's own controller chose, not the ladder's own effect."""
    shown = tuple(sorted({*rungs, *(rung for period in found.periods for rung in period.first)}))
    known = [period for period in found.periods if period.known]
    lines = tuple(_line(period, shown, found.currency) for period in found.periods)
    limit = formats.tile_money(found.limit, found.currency)
    return WhatIf(
        known=found.known,
        acted=any(period.acted for period in found.periods),
        by="controller" if by_controller else "ladder",
        sentences=words(found),
        span=_span(known),
        currency=found.currency,
        rungs=shown,
        lines=lines,
        total=_total(found, shown) if len(known) > 1 else None,
        wide=_drawing(found, 690, 214) if known else None,
        narrow=_drawing(found, 326, 210) if known else None,
        label=f"Cumulative spend of {_span(known)} as it was and with this policy, against the limit of {limit}",
        notes=_notes(found, by_controller=by_controller, steerable=steerable, substitutes=substitutes),
    )


def _span(periods: Sequence[ReplayPeriod]) -> str:
    if not periods:
        return ""
    first, last = periods[0].span, periods[-1].span
    return first.label if first == last else f"{first.label} to {last.label}"


def _line(period: ReplayPeriod, rungs: Sequence[Rung], currency: str) -> PeriodLine:
    if not period.known:
        unknown = Shown(formats.UNKNOWN, NO_FIGURES, "muted")
        firsts = tuple(unknown for _ in rungs)
        return PeriodLine(period.span.label, unknown, firsts, unknown, unknown, unknown, unknown, False)
    return PeriodLine(
        label=period.span.label,
        actual=shown_money(period.actual, currency),
        firsts=tuple(_first(period.first.get(rung)) for rung in rungs),
        moved=_tokens(period.moved_tokens),
        refused=_tokens(period.refused_tokens),
        saved=_saved(period.saved, currency),
        would_be=shown_money(period.would_be, currency),
        over=period.would_be > period.limit,
    )


def _total(found: Replay, rungs: Sequence[Rung]) -> PeriodLine:
    return PeriodLine(
        label="Sum",
        actual=shown_money(found.actual, found.currency),
        firsts=tuple(Shown("") for _ in rungs),
        moved=_tokens(found.moved_tokens),
        refused=_tokens(found.refused_tokens),
        saved=_saved(found.saved, found.currency),
        would_be=shown_money(found.would_be, found.currency),
        over=False,
    )


def _first(day: date | None) -> Shown:
    return NOT_ACTED if day is None else Shown(formats.day(day, day), f"{day}")


def _tokens(count: int) -> Shown:
    return Shown(" ".join(formats.compact(count)).strip() if count else "0", f"{count:,} tokens")


def _saved(amount: Decimal, currency: str) -> Shown:
    shown = shown_money(amount, currency)
    return Shown(shown.text, shown.title, "down" if amount > 0 else "")


def _notes(found: Replay, *, by_controller: bool, steerable: bool, substitutes: bool) -> tuple[str, ...]:
    notes = [
        "Replayed day by day with what was known then, at the costs of those months. "
        "It assumes that the tokens would have been the same wherever they were served."
    ]
    if found.asked:
        asked = ", ".join(rung.words.lower() for rung in found.asked)
        notes.append(f"It takes every approval as given at once: {asked}.")
    if not substitutes and any(Rung.SMALLER_MODEL in period.first for period in found.periods):
        notes.append("No model may stand in for another, so the smaller-model step moves nothing.")
    if not steerable:
        notes.insert(0, "Routes tell teams and models apart, nothing narrower: of this scope people are told, no more.")
    if by_controller:
        notes.append("Chosen by the loop's own controller, as it would have been then.")
    return tuple(notes)


# The drawing


def _drawing(found: Replay, width: int, height: int) -> Drawing:
    # Only what is known: an empty month would take room and say nothing.
    periods = [period for period in found.periods if period.known]
    left, right, top, bottom = 4.0, width - 40.0, 28.0, height - 24.0
    top_amount = _ceiling(max([found.limit, *(period.actual for period in periods)]))
    gap = (right - left) * 0.05 if len(periods) > 1 else 0.0
    each = (right - left - gap * (len(periods) - 1)) / max(1, len(periods))

    def y(amount: Decimal) -> float:
        return bottom - (bottom - top) * float(amount / top_amount if top_amount else Decimal(0))

    actual, would_be, marks, labels = [], [], [], []
    for index, period in enumerate(periods):
        start = left + index * (each + gap)
        step = each / max(1, len(period.days))
        was = _sums([day.actual for day in period.days])
        would = _sums([day.would_be for day in period.days])
        # Drawn from the first day that differs, so that the two lines part where the policy acts.
        parts = next((at for at in range(len(was)) if was[at] != would[at]), None)
        actual.append(_path([(start + step * at, y(value)) for at, value in enumerate(was)]))
        if parts is not None:
            points = [(start + step * at, y(value)) for at, value in enumerate(would)]
            would_be.append(_path(points[max(0, parts - 1) :]))
        marks += _marks(period, start, step, [y(value) for value in would])
        if len(periods) < 5 or index % 3 == 0:
            text = period.span.label[:3] if width < 400 and len(periods) > 1 else period.span.label
            labels.append(Tick(f"{start:.1f}", f"{height - 6}", text))
    lines = [top_amount * part / 3 for part in (1, 2, 3)]
    return Drawing(
        width=width,
        height=height,
        right=f"{right:.1f}",
        axis=f"M{left} {bottom:.1f}H{right:.1f}",
        grid=tuple(f"M{left} {y(amount):.1f}H{right:.1f}" for amount in lines),
        actual=tuple(actual),
        would_be=tuple(would_be),
        limit=f"M{left} {y(found.limit):.1f}H{right:.1f}",
        limit_y=f"{y(found.limit) - 6:.1f}",
        marks=tuple(marks),
        amounts=tuple(Tick(f"{width - 2}", f"{y(amount) + 4:.1f}", _short(amount)) for amount in [Decimal(0), *lines]),
        labels=tuple(labels),
    )


def _marks(period: ReplayPeriod, start: float, step: float, heights: Sequence[float]) -> list[Mark]:
    found: list[Mark] = []
    last = -100.0
    for rung, day in sorted(period.first.items(), key=lambda item: (item[1], item[0])):
        at = (day - period.span.start).days
        # Rungs of one day stand beside each other.
        x = max(start + step * at, last + 16)
        last = x
        y = max(12.0, heights[min(at, len(heights) - 1)])
        title = f"{rung.words}: {formats.day(day, day)}"
        found.append(Mark(f"{x:.1f}", f"{y:.1f}", NUMBERS[rung], rung is Rung.NOTIFY, title))
    return found


def _sums(amounts: Sequence[Decimal]) -> list[Decimal]:
    """0 and the running sums."""
    found = [Decimal(0)]
    for amount in amounts:
        found.append(found[-1] + amount)
    return found


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " ".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _ceiling(amount: Decimal) -> Decimal:
    """The least of 1, 1.5, 2, 3, 4.5, 6, 9 x 10^n that is at least `amount`: its thirds read well."""
    if amount <= 0:
        return Decimal(3)
    size = Decimal(1).scaleb(amount.adjusted())
    steps = ("1.2", "1.5", "2.1", "3", "4.5", "6", "7.5", "9", "12")
    return next((size * Decimal(step) for step in steps if size * Decimal(step) >= amount), size * 12)


def _short(amount: Decimal) -> str:
    for size, unit in ((10**6, "M"), (1000, "k")):
        if amount >= size:
            return f"{float(amount / size):.3g}{unit}"
    return f"{float(amount):.3g}"
