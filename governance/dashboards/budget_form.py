"""The form of a budget and its ladder: from what was typed to values, with every mistake beside its field.

Not here: who may save it, where it is kept (`governance.budgeting`, `governance.policies`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError

from attribution.actors import Action, Actor
from attribution.models import Team
from attribution.vocabulary import Basis
from governance.budget_drafts import BudgetDraft
from governance.budgets import Dims, PeriodKind, Rollover
from governance.enforcement.policy import mistakes
from governance.enforcement.rungs import (
    Approval,
    Disutility,
    Measure,
    Policy,
    QuietHours,
    Rung,
    Step,
    Substitute,
)

WHOLE_ORGANISATION = ""
MOST_LINES = 40
_KEYS = frozenset(rung.key for rung in Rung)
PPM_OF_A_PERCENT = 10_000
LIMIT_PPM = 1_000_000
CURRENCIES = ("USD", "EUR", "GBP")
# People's own zones come first to mind; any IANA name is taken.
ZONES = (
    "UTC",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Zurich",
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
)
KINDS = (
    (PeriodKind.MONTH.value, "Month"),
    (PeriodKind.QUARTER.value, "Quarter"),
    (PeriodKind.WEEK.value, "Week"),
    (PeriodKind.DATES.value, "Own dates"),
)
BASES = tuple((basis.value, basis.value.capitalize()) for basis in Basis)
ROLLOVERS = (
    (Rollover.NONE.value, "Nothing"),
    (Rollover.UNUSED.value, "What was left"),
    (Rollover.BOTH.value, "What was left or overspent"),
)
MEASURES = ((Measure.ACTUAL.value, "spent"), (Measure.FORECAST.value, "forecast"))
ASKS = ((Approval.NONE.value, "nobody"), (Approval.ONE.value, "one person"), (Approval.TWO.value, "two persons"))
STANDING = (Approval.STANDING.value, "nobody: hard limit")
HARMS = ((Disutility.FINE.value, "fine"), (Disutility.WORSE.value, "worse"), (Disutility.BAD.value, "bad"))
PRIORITIES = (("3", "high: served first"), ("2", "normal"), ("1", "low: refused first"))
RUNG_WORDS = {
    Rung.NOTIFY: "people are told",
    Rung.PREFER_CHEAPER: "the same model where it costs less",
    Rung.SMALLER_MODEL: "another model, as permitted below",
    Rung.THROTTLE: "a part of the calls is refused",
    Rung.STOP: "every call is refused until the period ends",
}
# A new budget's ladder: (on, percent of the limit, of what, who is asked).
LADDER: Mapping[Rung, tuple[bool, int, Measure, Approval]] = {
    Rung.NOTIFY: (True, 80, Measure.ACTUAL, Approval.NONE),
    Rung.PREFER_CHEAPER: (True, 95, Measure.FORECAST, Approval.NONE),
    Rung.SMALLER_MODEL: (True, 103, Measure.FORECAST, Approval.ONE),
    Rung.THROTTLE: (False, 110, Measure.FORECAST, Approval.ONE),
    Rung.STOP: (False, 120, Measure.ACTUAL, Approval.ONE),
}


@dataclass(frozen=True)
class Choices:
    """What may be chosen: teams for which the person may act (slug, name), and whether all of it may be."""

    teams: tuple[tuple[str, str], ...]
    organisation: bool

    @classmethod
    def of(cls, actor: Actor, action: Action, refusal: str) -> Self:
        """Where `actor` may do `action`. Raises PermissionDenied with `refusal` when that is nowhere."""
        if not actor.may_somewhere(action):
            raise PermissionDenied(refusal)
        teams = Team.objects.order_by("name", "slug").values_list("slug", "name")
        mine = tuple((slug, name or slug) for slug, name in teams if actor.may(action, slug))
        return cls(mine, actor.may(action, None))


@dataclass(frozen=True)
class RungRow:
    """One line of the ladder in the form."""

    rung: Rung
    words: str
    on: Any
    at: Any
    measure: Any
    ask: Any
    errors: Sequence[str]
    fixed_ask: str


class BudgetForm(forms.Form):
    """Fields of a budget, and four for each rung: NAME_on, NAME_at (percent), NAME_measure, NAME_ask."""

    team = forms.ChoiceField(label="For", required=False)
    name = forms.CharField(max_length=200, label="Name", required=False)
    amount = forms.DecimalField(label="Limit", min_value=Decimal(0), max_digits=20, decimal_places=2, localize=False)
    currency = forms.ChoiceField(choices=[(each, each) for each in CURRENCIES], initial="USD", required=False)
    kind = forms.ChoiceField(choices=KINDS, label="Each", initial=PeriodKind.MONTH.value)
    zone = forms.CharField(max_length=64, label="Time zone", initial="UTC")
    starts_on = forms.DateField(label="First day", required=False)
    ends_on = forms.DateField(label="Last day", required=False)
    hard = forms.BooleanField(label="Hard limit", required=False)
    project = forms.CharField(max_length=100, required=False)
    model = forms.CharField(max_length=200, required=False)
    provider = forms.CharField(max_length=64, required=False)
    environment = forms.CharField(max_length=100, required=False)
    basis = forms.ChoiceField(choices=BASES, label="Cost basis", initial=Basis.EFFECTIVE.value, required=False)
    growth = forms.DecimalField(
        label="Growth a period, %", min_value=Decimal(-99), max_value=Decimal(1000), decimal_places=2, required=False
    )
    rollover = forms.ChoiceField(choices=ROLLOVERS, label="Goes over", initial=Rollover.NONE.value, required=False)
    rollover_cap = forms.DecimalField(label="At most", min_value=Decimal(0), decimal_places=2, required=False)
    quiet_from = forms.TimeField(label="Quiet from", required=False)
    quiet_to = forms.TimeField(label="Quiet to", required=False)
    dwell = forms.IntegerField(
        label="A step holds for at least, minutes", min_value=0, max_value=7 * 24 * 60, initial=60, required=False
    )
    hysteresis = forms.DecimalField(
        label="Let go how far below its start, points",
        min_value=Decimal("0.1"),
        max_value=Decimal(100),
        decimal_places=1,
        initial=Decimal(5),
        required=False,
    )
    priority = forms.ChoiceField(choices=PRIORITIES, label="In the last mile", initial="2", required=False)

    def __init__(self, data: Any = None, *, choices: Choices, today: date, initial: Any = None) -> None:
        super().__init__(data, initial=initial)
        self.choices, self.today = choices, today
        everyone = [(WHOLE_ORGANISATION, "The whole organisation")] if choices.organisation else []
        team: Any = self.fields["team"]
        team.choices = [*choices.teams, *everyone]
        team.required = not choices.organisation
        for rung, (on, at, measure, ask) in LADDER.items():
            self._add_rung(rung, on, at, measure, ask)
        for name, field in self.fields.items():
            css = "check" if isinstance(field, forms.BooleanField) else "input"
            field.widget.attrs.setdefault("class", css)
            if isinstance(field, forms.DecimalField):
                field.widget = forms.TextInput(attrs={"class": "input num", "inputmode": "decimal"})
            step, _, part = name.rpartition("_")
            if part == "at" and step in _KEYS:
                # A number field: the arrow keys change it by one percent.
                field.widget = forms.NumberInput(attrs={"class": "input num", "step": "any", "min": "0"})
            if part in ("at", "measure", "ask") and step in _KEYS:
                field.widget.attrs["aria-label"] = field.label
        self.fields["dwell"].widget = forms.TextInput(attrs={"class": "input num", "inputmode": "numeric"})
        for name in ("starts_on", "ends_on"):
            self.fields[name].widget = forms.DateInput(attrs={"class": "input", "type": "date"}, format="%Y-%m-%d")
        for name in ("quiet_from", "quiet_to"):
            self.fields[name].widget = forms.TimeInput(attrs={"class": "input", "type": "time"}, format="%H:%M")
        for name in ("zone", "project", "model", "provider", "environment"):
            self.fields[name].widget.attrs |= {"list": f"{name}s", "autocomplete": "off"}

    def _add_rung(self, rung: Rung, on: bool, at: int, measure: Measure, ask: Approval) -> None:
        key, words = rung.key, rung.words
        self.fields[f"{key}_on"] = forms.BooleanField(label=words, required=False, initial=on)
        self.fields[f"{key}_at"] = forms.DecimalField(
            label=f"{words}: at % of the limit",
            min_value=Decimal("0.1"),
            max_value=Decimal(1000),
            decimal_places=1,
            required=False,
            initial=Decimal(at),
        )
        measures = MEASURES if rung is not Rung.STOP else MEASURES[:1]
        self.fields[f"{key}_measure"] = forms.ChoiceField(
            label=f"{words}: of what", choices=measures, required=False, initial=measure.value
        )
        asks = {Rung.NOTIFY: ASKS[:1], Rung.STOP: (*ASKS[1:], STANDING)}.get(rung, ASKS)
        self.fields[f"{key}_ask"] = forms.ChoiceField(
            label=f"{words}: who is asked", choices=asks, required=False, initial=ask.value
        )

    @property
    def rungs(self) -> list[RungRow]:
        """The ladder's lines, the mildest first."""
        found = []
        for rung in Rung:
            on, at, measure, ask = (self[f"{rung.key}_{part}"] for part in ("on", "at", "measure", "ask"))
            errors = [f"{error}" for part in (on, at, measure, ask) for error in part.errors]
            fixed = "nobody" if rung is Rung.NOTIFY else ""
            found.append(RungRow(rung, RUNG_WORDS[rung], on, at, measure, ask, errors, fixed))
        return found

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        return amount

    def clean_zone(self) -> str:
        zone: str = self.cleaned_data["zone"]
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValidationError(f"{zone} is no time zone: write it as Europe/Berlin") from None
        return zone

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        kind, first, last = cleaned.get("kind"), cleaned.get("starts_on"), cleaned.get("ends_on")
        if kind == PeriodKind.DATES.value and not (first and last):
            self.add_error("ends_on" if first else "starts_on", "Own dates need a first and a last day.")
        if first and last and last < first:
            self.add_error("ends_on", f"The last day, {last}, is before the first, {first}.")
        if bool(cleaned.get("quiet_from")) != bool(cleaned.get("quiet_to")):
            self.add_error("quiet_to" if cleaned.get("quiet_from") else "quiet_from", "Give both, or neither.")
        for rung in Rung:
            at = f"{rung.key}_at"
            if cleaned.get(f"{rung.key}_on") and cleaned.get(at) is None and at not in self.errors:
                self.add_error(at, f"{rung.words}: say at how many percent of the limit.")
        if not self.errors:
            self._check_policy()
        return cleaned

    def _check_policy(self) -> None:
        for wrong in mistakes(self.policy(), hard=self.cleaned_data["hard"]):
            part, _, name = wrong.field.partition(".")
            if part == "steps" and f"{name}_at" in self.fields:
                self.add_error(f"{name}_at", f"{wrong.words}.")
            else:
                self.add_error("zone" if wrong.field == "zone" else None, f"{wrong.words}.")

    # What was typed, as values. Only after is_valid().

    def draft(self, stored: BudgetDraft | None = None) -> BudgetDraft:
        """The budget; of `stored`, the values that this form does not show stay."""
        found = self.cleaned_data
        ends_on = found.get("ends_on")
        first = found["starts_on"] or (stored.starts_on if stored else self.today.replace(day=1))
        told = self._told(stored)
        return BudgetDraft(
            name=found["name"].strip() or self.suggested_name(),
            amount=found["amount"],
            dims=self.dims(),
            currency=found["currency"] or (stored.currency if stored else "USD"),
            basis=found["basis"] or Basis.EFFECTIVE.value,
            period_kind=found["kind"],
            zone=found["zone"],
            starts_on=first,
            ends_on=ends_on + timedelta(days=1) if ends_on else None,
            growth_ppm=int((found["growth"] or Decimal(0)) * PPM_OF_A_PERCENT),
            rollover=found["rollover"] or Rollover.NONE.value,
            rollover_cap=found["rollover_cap"],
            hard=found["hard"],
            tell_actual_ppm=told[0],
            tell_forecast_ppm=told[1],
        )

    def _told(self, stored: BudgetDraft | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The thresholds at which messages go out: the first step's, and the limit itself."""
        step = self.policy().step(Rung.NOTIFY)
        if step is None:
            return (), ()
        others = {each for each in (stored.tell_actual_ppm if stored else (LIMIT_PPM,)) if each >= LIMIT_PPM}
        if step.measure is Measure.ACTUAL:
            expected = stored.tell_forecast_ppm if stored and stored.tell_forecast_ppm else (LIMIT_PPM,)
            return (*sorted({step.threshold_ppm, *others}),), expected
        return (*sorted(others or {LIMIT_PPM}),), (step.threshold_ppm,)

    def dims(self) -> Dims:
        """The scope, sorted as everywhere."""
        names = ("environment", "model", "project", "provider", "team")
        return tuple((name, found) for name in names if (found := (self.cleaned_data.get(name) or "").strip()))

    def suggested_name(self) -> str:
        """'Claims', 'Claims, gpt-5': what it covers, when nobody gave a name."""
        teams = dict(self.choices.teams)
        parts = [teams.get(value, value) for _, value in reversed(self.dims())]
        return ", ".join(parts) or "The whole organisation"

    def policy(self) -> Policy:
        """The ladder as typed."""
        found = self.cleaned_data
        quiet = found.get("quiet_from"), found.get("quiet_to")
        priority = int(found.get("priority") or 2)
        dwell = found.get("dwell")
        return Policy(
            id=0,
            version=0,
            steps=tuple(self._steps()),
            substitutes=self.substitutes(),
            quiet_hours=QuietHours(quiet[0], quiet[1]) if quiet[0] is not None and quiet[1] is not None else None,
            zone=found["zone"],
            minimum_dwell=timedelta(minutes=60 if dwell is None else dwell),
            priorities={} if priority == 2 else {"*": priority},
        )

    def _steps(self) -> Iterable[Step]:
        found = self.cleaned_data
        below = int((found.get("hysteresis") or Decimal(5)) * PPM_OF_A_PERCENT)
        for rung in Rung:
            at = found.get(f"{rung.key}_at")
            if not found.get(f"{rung.key}_on") or at is None:
                continue
            threshold = int(at * PPM_OF_A_PERCENT)
            yield Step(
                rung=rung,
                measure=Measure(found.get(f"{rung.key}_measure") or LADDER[rung][2].value),
                threshold_ppm=threshold,
                clear_ppm=max(0, threshold - below),
                approval=Approval(found.get(f"{rung.key}_ask") or LADDER[rung][3].value),
            )

    def substitutes(self) -> dict[str, tuple[Substitute, ...]]:
        """From sub-N-model, sub-N-to, sub-N-harm; several lines of one model stand in their order."""
        found: dict[str, tuple[Substitute, ...]] = {}
        for index in range(MOST_LINES):
            model = (self.data.get(f"sub-{index}-model") or "").strip()
            to = (self.data.get(f"sub-{index}-to") or "").strip()
            harm = self.data.get(f"sub-{index}-harm") or Disutility.WORSE.value
            known = harm in {each.value for each in Disutility}
            taken = {each.model for each in found.get(model, ())}
            if model and to and to != model and known and to not in taken and len(to) <= 200:
                found[model] = (*found.get(model, ()), Substitute(to, Disutility(harm)))
        return found


def initial_of_draft(draft: BudgetDraft) -> dict[str, Any]:
    """What the form shows of a stored budget."""
    dims = dict(draft.dims)
    return {
        "team": dims.get("team", WHOLE_ORGANISATION),
        "name": draft.name,
        "amount": draft.amount.quantize(Decimal("0.01")),
        "currency": draft.currency,
        "kind": draft.period_kind,
        "zone": draft.zone,
        "starts_on": draft.starts_on,
        "ends_on": draft.ends_on - timedelta(days=1) if draft.ends_on else None,
        "hard": draft.hard,
        "basis": draft.basis,
        "growth": percent_of(draft.growth_ppm) if draft.growth_ppm else None,
        "rollover": draft.rollover,
        "rollover_cap": draft.rollover_cap.quantize(Decimal("0.01")) if draft.rollover_cap is not None else None,
        **{name: dims.get(name, "") for name in ("project", "model", "provider", "environment")},
    }


def initial_of(policy: Policy) -> dict[str, Any]:
    """What the form's ladder shows for a stored policy."""
    shown: dict[str, Any] = {
        "dwell": int(policy.minimum_dwell / timedelta(minutes=1)),
        "quiet_from": policy.quiet_hours.start if policy.quiet_hours else None,
        "quiet_to": policy.quiet_hours.end if policy.quiet_hours else None,
        "priority": str(policy.priorities.get("*", 2)),
    }
    gaps = [step.threshold_ppm - step.clear_ppm for step in policy.steps]
    shown["hysteresis"] = percent_of(gaps[0]) if gaps else Decimal(5)
    for rung in Rung:
        step = policy.step(rung)
        shown[f"{rung.key}_on"] = step is not None
        if step is not None:
            shown[f"{rung.key}_at"] = percent_of(step.threshold_ppm)
            shown[f"{rung.key}_measure"] = step.measure.value
            # Beside a stop, a standing yes is the same as asking nobody.
            free = step.approval is Approval.STANDING and rung is not Rung.STOP
            shown[f"{rung.key}_ask"] = Approval.NONE.value if free else step.approval.value
    return shown


def percent_of(ppm: int) -> Decimal:
    """80 for 800,000; 97.5 for 975,000."""
    shown = (Decimal(ppm) / PPM_OF_A_PERCENT).normalize()
    return shown if shown.as_tuple().exponent != 0 and shown % 1 else shown.quantize(Decimal(1))


def with_parts_of(policy: Policy, stored: Policy) -> Policy:
    """`policy` from the form, with what the form does not show as it was stored: freezes, gaps, priorities."""
    priorities = {key: value for key, value in stored.priorities.items() if key != "*"} | dict(policy.priorities)
    steps = tuple(_with_gap_of(step, stored) for step in policy.steps)
    return replace(policy, steps=steps, freeze_windows=stored.freeze_windows, priorities=priorities)


def _with_gap_of(step: Step, stored: Policy) -> Step:
    """The form has one gap for all steps: where it and the step's start were left alone, the stored one stays."""
    before = stored.step(step.rung)
    if before is None or before.threshold_ppm != step.threshold_ppm:
        return step
    shown = stored.steps[0].threshold_ppm - stored.steps[0].clear_ppm
    untouched = step.threshold_ppm - step.clear_ppm == shown
    return replace(step, clear_ppm=before.clear_ppm) if untouched else step
