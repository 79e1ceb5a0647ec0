"""Budgets as pages show them: bullet bars, figures, states in words; and what two versions differ in. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from attribution.models import AuditEntry
from governance.budget_drafts import COLUMNS, BudgetDraft
from governance.budgeting import BudgetView
from governance.budgets import BudgetStatus, Dims, PeriodKind
from governance.dashboards import formats, labels
from governance.dashboards.budget_form import RUNG_WORDS, percent_of
from governance.dashboards.shown import Shown, exact_money, shown_money
from governance.enforcement.rungs import Approval, Measure, Policy, Rung, Step
from governance.policies import InForce

NO_FORECAST = "No forecast was made for this scope yet: it is fitted every night"
# A bullet is 420 x 34; the limit stands at one place in every row, and what runs over it has room to the right.
WIDTH, LIMIT_AT, MOST = 420.0, 300.0, 1.4
MOST_NAMES = 4
TAGS = {
    BudgetStatus.OK: ("ok", "On course"),
    BudgetStatus.WARNING: ("warn", "At risk"),
    BudgetStatus.EXCEEDED: ("bad", "Exceeded"),
    BudgetStatus.UNKNOWN: ("", "Not known"),
}
ASKED = {
    Approval.NONE: ("", "automatic"),
    Approval.STANDING: ("", "standing approval"),
    Approval.ONE: ("warn", "one person approves"),
    Approval.TWO: ("warn", "two persons approve"),
}


@dataclass(frozen=True)
class Bullet:
    """Numbers of one SVG bar, as text. The interval is '' without a forecast."""

    spent: str
    billed: str
    over: bool
    interval_x: str
    interval_width: str
    median: str
    limit: str
    beyond: bool
    label: str


@dataclass(frozen=True)
class BudgetRow:
    """One line of the list."""

    id: int
    name: str
    covers: str
    period: str
    bullet: Bullet
    actual: Shown
    used: str
    forecast: Shown
    interval: str
    limit: Shown
    left: Shown
    tag: str
    state: str
    words: str
    days_left: str
    hard: bool
    active: str


@dataclass(frozen=True)
class StepRow:
    """One step of a ladder, to read."""

    rung: str
    words: str
    at: str
    measure: str
    clear: str
    tag: str
    asked: str
    on: bool
    detail: str


@dataclass(frozen=True)
class LogLine:
    """One entry of the audit trail about a budget, in words."""

    actor: str
    at: datetime
    words: str


@dataclass(frozen=True)
class Change:
    """One value that two versions have differently: as it was seen, theirs, yours."""

    label: str
    theirs: str
    yours: str


def rows(
    views: Iterable[BudgetView], names: Mapping[str, str], today: date, active: Mapping[int, InForce]
) -> list[BudgetRow]:
    """The tightest first. active: budget id -> what the loop has in force."""
    ordered = sorted(views, key=lambda view: (_tightness(view), view.name))
    return [row(view, names, today, active.get(view.id)) for view in ordered]


def row(view: BudgetView, names: Mapping[str, str], today: date, active: InForce | None = None) -> BudgetRow:
    """A budget in one line."""
    tag, state = TAGS[view.state]
    forecast = view.forecast
    currency = view.currency
    return BudgetRow(
        id=view.id,
        name=view.name,
        covers=covers(view.dims, names),
        period=formats.span(view.first_day, _after(view), year=view.first_day.year != today.year),
        bullet=bullet(view),
        actual=shown_money(view.consumed, currency),
        used=f"{formats.percent(view.consumed, view.limit, 0)} %" if view.limit else formats.UNKNOWN,
        forecast=_rounded(forecast.p50 if forecast else None, currency),
        interval=f"{_whole(forecast.p10)} to {_whole(forecast.p90)}" if forecast else "",
        limit=shown_money(view.limit, currency),
        left=_left(view),
        tag=tag,
        state=state,
        words=outlook(view, today),
        days_left=days_left(view),
        hard=view.hard,
        active=_in_force(active),
    )


def lead(views: Sequence[BudgetView]) -> str:
    """The answer first: which budgets are in trouble."""
    if not views:
        return ""
    over = [view.name for view in views if view.state is BudgetStatus.EXCEEDED]
    risky = [view.name for view in views if view.state is BudgetStatus.WARNING]
    count = "One budget" if len(views) == 1 else f"{len(views)} budgets"
    if not over and not risky:
        return f"{count}, on course." if len(views) == 1 else f"{count}, all on course."
    parts = [f"{_listed(over)} {'is' if len(over) == 1 else 'are'} over the limit" if over else ""]
    parts.append(f"{_listed(risky)} {'is' if len(risky) == 1 else 'are'} at risk" if risky else "")
    return f"{count}: {'; '.join(filter(None, parts))}."


def outlook(view: BudgetView, today: date) -> str:
    """'reaches it on 28 Nov', '88 % likely to exceed': the most useful words about a budget's end."""
    if view.state is BudgetStatus.EXCEEDED:
        return f"by {formats.tile_money(view.consumed - view.limit, view.currency)}"
    if view.left_out:
        return f"{_listed([currency for currency, _ in view.left_out])} without a rate"
    crossing = view.crossing
    if crossing is not None:
        if crossing.date is not None and crossing.probability >= 0.5:
            return f"reaches it on {formats.day(crossing.date, today)}, {_likely(crossing.probability)}"
        if crossing.probability >= 0.5:
            return f"{_likely(crossing.probability)} to exceed"
        return f"{_likely(1 - crossing.probability)} to hold"
    if view.runs_out_at is not None:
        return f"at this burn it is spent on {formats.day(view.runs_out_at.date(), today)}"
    return "no forecast yet"


def days_left(view: BudgetView) -> str:
    days = int(view.days_left)
    if not view.days_left:
        return "over"
    return "last day" if days < 1 else f"{days} day{'s' if days != 1 else ''} left"


def covers(dims: Dims, names: Mapping[str, str]) -> str:
    """A scope in words: 'team Claims, GPT-5 at AWS'; everything is 'the whole organisation'."""
    if not dims:
        return "the whole organisation"
    found = dict(dims)
    parts = []
    if "team" in found:
        parts.append(f"team {names.get(found['team'], found['team'])}")
    parts += [f"{key} {names.get(found[key], found[key])}" for key in ("project", "environment") if key in found]
    if "model" in found:
        parts.append(labels.model(found["model"]))
    if "provider" in found:
        parts.append(labels.provider(found["provider"]))
    return ", ".join(parts)


def bullet(view: BudgetView) -> Bullet:
    """The bar of a budget; amounts beyond its right edge are cut there and said so."""
    forecast, limit = view.forecast, view.limit
    amounts = f"spent {_whole(view.consumed)}"
    if forecast is not None:
        amounts += f", forecast {_whole(forecast.p50)}, between {_whole(forecast.p10)} and {_whole(forecast.p90)}"
    settled = view.billed if view.billed <= view.consumed else view.consumed
    low, high = (_x(forecast.p10, limit), _x(forecast.p90, limit)) if forecast else (0.0, 0.0)
    most = max([view.consumed, *([forecast.p90] if forecast else [])])
    return Bullet(
        spent=f"{_x(view.consumed, limit):.1f}",
        billed=f"{_x(settled, limit):.1f}",
        over=view.consumed > limit,
        interval_x=f"{low:.1f}" if forecast else "",
        interval_width=f"{max(2.0, high - low):.1f}",
        median=f"{_x(forecast.p50, limit):.1f}" if forecast else "",
        limit=f"{LIMIT_AT:.1f}",
        beyond=most > limit * Decimal(str(MOST)),
        label=f"{amounts}, limit {_whole(limit)} {view.currency}",
    )


def steps(policy: Policy, *, hard: bool) -> list[StepRow]:
    """The whole ladder, also the steps that are off."""
    return [_step_row(rung, policy.step(rung), policy, hard) for rung in Rung]


def substitute_lines(policy: Policy) -> list[tuple[str, str]]:
    """(model, what may stand in for it) in words."""
    return [
        (
            labels.model(model),
            ", ".join(f"{labels.model(each.model)} ({each.disutility.value})" for each in choices),
        )
        for model, choices in policy.substitutes.items()
    ]


def differences(theirs: Mapping[str, Any], yours: Mapping[str, Any], words: Mapping[str, str]) -> list[Change]:
    """What two people want differently, field by field, as the form shows it."""
    return [
        Change(words.get(name, name), _text(theirs.get(name)), _text(yours.get(name)))
        for name in yours
        if _text(theirs.get(name)) != _text(yours.get(name))
    ]


def log_line(entry: AuditEntry) -> LogLine:
    """'changed it: amount 300 to 250'."""
    done = _DONE.get(entry.action, entry.action)
    before, after = entry.before or {}, entry.after or {}
    differing = [name for name in after if name in before and before[name] != after[name]]
    moved = [_moved(name, before[name], after[name]) for name in differing if name not in _NOT_SHOWN]
    return LogLine(entry.actor, entry.at, ": ".join(filter(None, [done, "; ".join(moved[:4])])))


_DONE = {
    "budget.create": "made it",
    "budget.edit": "changed it",
    "budget.edit_refused": "was second, so this was not saved",
    "budget.archive": "archived it",
    "policy.save": "set its steps",
    "policy.save_refused": "was second with these steps, so they were not saved",
}
_NOT_SHOWN = frozenset({"version", "updated_at", "updated_by", "tell_actual_ppm", "tell_forecast_ppm"})


def _moved(name: str, before: Any, after: Any) -> str:
    """'amount 300 to 250', 'notify 80 % to 70 %'; of other lists and objects only the name."""
    if name == "steps":
        was, now = ({each["rung"]: _step_text(each) for each in steps} for steps in (before, after))
        rungs = [rung for rung in {**was, **now} if was.get(rung) != now.get(rung)]
        return ", ".join(f"{r.replace('_', ' ')} {was.get(r, 'off')} to {now.get(r, 'off')}" for r in rungs)
    words = name.replace("_", " ")
    if isinstance(before, (list, dict)) or isinstance(after, (list, dict)):
        return words
    return f"{words} {_text(before)[:60]} to {_text(after)[:60]}"


def _step_text(step: Mapping[str, Any]) -> str:
    asks = "" if step["approval"] == Approval.NONE.value else f" with {step['approval']}"
    return f"{percent_of(step['threshold_ppm'])} % {step['measure']}{asks}"


def calendar_words(draft: BudgetDraft) -> str:
    """'each month, Europe/Berlin'."""
    if draft.period_kind == PeriodKind.DATES.value and draft.ends_on is not None:
        return f"{formats.span(draft.starts_on, draft.ends_on)}, {draft.zone}"
    return f"each {draft.period_kind}, {draft.zone}"


def csv_text(views: Iterable[BudgetView]) -> str:
    """The budgets as the import reads them: the same file brought in again changes nothing."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for view in views:
        values = _csv_values(view.draft)
        writer.writerow([formats.unformula(values.get(name, "")) for name in COLUMNS])
    return lines.getvalue()


def _csv_values(draft: BudgetDraft) -> dict[str, str]:
    return {
        "name": draft.name,
        "amount": formats.exact(draft.amount),
        "currency": draft.currency,
        **dict(draft.dims),
        "basis": draft.basis,
        "period_kind": draft.period_kind,
        "zone": draft.zone,
        "starts_on": f"{draft.starts_on}",
        "ends_on": f"{draft.ends_on or ''}",
        "growth_percent": formats.exact(percent_of(draft.growth_ppm)),
        "rollover": draft.rollover,
        "rollover_cap": formats.exact(draft.rollover_cap),
        "hard": "yes" if draft.hard else "no",
        "tell_actual_percent": " ".join(formats.exact(percent_of(each)) for each in draft.tell_actual_ppm),
        "tell_forecast_percent": " ".join(formats.exact(percent_of(each)) for each in draft.tell_forecast_ppm),
    }


def _step_row(rung: Rung, step: Step | None, policy: Policy, hard: bool) -> StepRow:
    if step is None and rung is Rung.STOP and hard:
        step = Step(Rung.STOP, Measure.ACTUAL, 1_000_000, 950_000, Approval.STANDING)
    if step is None:
        return StepRow(rung.words, RUNG_WORDS[rung], formats.UNKNOWN, "", "", "", "off", False, "")
    approval = Approval.STANDING if hard and rung is Rung.STOP else step.approval
    tag, asked = ASKED[approval]
    detail = ""
    if rung is Rung.SMALLER_MODEL:
        lines = substitute_lines(policy)
        detail = "; ".join(f"{model}: {to}" for model, to in lines) or "no substitute is named, so nothing is moved"
    return StepRow(
        rung=rung.words,
        words=RUNG_WORDS[rung],
        at=f"{percent_of(step.threshold_ppm)} %",
        measure="spent" if step.measure is Measure.ACTUAL else "forecast",
        clear=f"{percent_of(step.clear_ppm)} %",
        tag=tag,
        asked=asked,
        on=True,
        detail=detail,
    )


def _tightness(view: BudgetView) -> Decimal:
    """What is expected of the limit, negated: the tightest sorts first."""
    expected = view.forecast.p50 if view.forecast else view.consumed
    return -(expected / view.limit) if view.limit else Decimal(-1000 if expected else 0)


def _left(view: BudgetView) -> Shown:
    expected = view.forecast.p50 if view.forecast else view.consumed
    left = view.limit - expected
    what = "limit less the forecast" if view.forecast else "limit less what is spent: there is no forecast yet"
    css = "bad-figure" if view.state is BudgetStatus.EXCEEDED else "warn-figure" if left < 0 else ""
    return Shown(_whole(left), f"{exact_money(left, view.currency)}: {what}", css)


def _rounded(amount: Decimal | None, currency: str) -> Shown:
    if amount is None:
        return Shown(formats.UNKNOWN, NO_FORECAST, "muted")
    return Shown(_whole(amount), exact_money(amount, currency))


def _whole(amount: Decimal) -> str:
    text = f"{abs(amount):,.0f}" if abs(amount) >= 100 else f"{abs(amount):,.2f}"
    return f"{formats.MINUS if amount < 0 else ''}{text}"


def _likely(probability: float) -> str:
    percent = round(probability * 100)
    return "over 99 % likely" if percent > 99 else f"{max(1, percent)} % likely"


def _x(amount: Decimal, limit: Decimal) -> float:
    if limit <= 0:
        return WIDTH if amount > 0 else 0.0
    return min(WIDTH, max(0.0, LIMIT_AT * float(amount / limit)))


def _after(view: BudgetView) -> date:
    return date.fromordinal(view.last_day.toordinal() + 1)


def _in_force(found: InForce | None) -> str:
    if found is None:
        return ""
    return f"{found.rung.words} {'active' if found.acting else 'permitted'}"


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[: MOST_NAMES - 1])} and {len(names) - MOST_NAMES + 1} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _text(value: Any) -> str:
    if value is None or value == "":
        return formats.UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return formats.exact(value)
    return f"{value}"
