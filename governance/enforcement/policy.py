"""What a policy permits now. `decide` is pure: policy, state and time in; rungs with their reasons out.

What holds whatever the ladder says:
- a stop is judged on what is spent, never on a forecast, and needs a person's yes; two where it stops everything. A
  hard budget has that yes for its own scope, given when it was set;
- a rung starts at its threshold and is let go below its lower one, not before it held for the minimum dwell;
- stale data (telemetry over 2 hours, bills over 72) neither loosens nor starts a stop, and widens the margin;
- what was in force for an earlier period is let go when the period turns: that loosens nothing;
- in quiet hours no message is sent and nothing that users notice starts, but for a hard budget at its limit;
- in a freeze window nothing is changed; under the kill switch not even at the turn of a period.

Not here: which of the permitted rungs is used, and how far (`controller`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .rungs import (
    PPM,
    ActiveRung,
    Approval,
    BudgetState,
    Decision,
    FreezeWindow,
    Measure,
    Permitted,
    Policy,
    Rung,
    Step,
)

TELEMETRY_STALE = timedelta(hours=2)
BILLS_STALE = timedelta(hours=72)
# A hard budget that stopped needs a raised limit, or the next period, to run again: 95 % spent of the new limit.
HARD_CLEAR_PPM = 950_000
NOTICED = Rung.SMALLER_MODEL  # from here on, users notice
MOST_PPM = 10 * PPM
LONGEST_DWELL = timedelta(days=7)


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a policy: the part that is wrong ('steps.stop'), and the fix in words."""

    field: str
    words: str


def decide(policy: Policy, state: BudgetState, now: datetime) -> Decision:
    """What `policy` permits for `state` at `now` (aware). Every rung in force is in the answer, held or released."""
    judge = _Judge(policy, state, now)
    if not state.period_start <= now < state.period_end:
        return judge.hold_all("its period is over or has not begun: read the budget again")
    if state.frozen:
        return judge.hold_all("the kill switch is on: everything stays as it is")
    kept: list[Permitted] = []
    let_go: list[Permitted] = []
    blocked: list[str] = []
    steps = {step.rung: step for step in effective_steps(policy, state)}
    for rung in Rung:
        verdict = judge.rung(rung, steps.get(rung))
        if isinstance(verdict, str):
            blocked.append(verdict)
        elif verdict is not None:
            permitted, why_held = verdict
            (let_go if permitted.released else kept).append(permitted)
            blocked += why_held
    return Decision(
        budget_id=state.budget_id,
        permitted=(*kept, *let_go),
        notify=() if judge.quiet else tuple(each.because for each in kept if not each.held),
        blocked_because=tuple(blocked),
        may_loosen=judge.may_loosen,
        margin_factor=margin_factor(state),
    )


def effective_steps(policy: Policy, state: BudgetState) -> tuple[Step, ...]:
    """The ladder as it holds: a stop on what is spent only, and, of a hard budget, at its limit at the latest."""
    steps = [replace(step, measure=Measure.ACTUAL) if step.rung is Rung.STOP else step for step in policy.steps]
    if not state.hard:
        return tuple(steps)
    stop = policy.step(Rung.STOP)
    at = min(stop.threshold_ppm, PPM) if stop else PPM
    clear = min(stop.clear_ppm, HARD_CLEAR_PPM, at) if stop else HARD_CLEAR_PPM
    others = [step for step in steps if step.rung is not Rung.STOP]
    return (*others, Step(Rung.STOP, Measure.ACTUAL, at, clear, Approval.STANDING))


def needed_approval(step: Step, state: BudgetState) -> Approval:
    """Whose yes a step needs, whatever it says itself: a standing yes is a hard budget's only, a stop is never free."""
    if step.rung is Rung.STOP:
        if state.hard:
            return Approval.STANDING
        return Approval.TWO if state.covers_everything or step.approval is Approval.TWO else Approval.ONE
    return Approval.ONE if step.approval is Approval.STANDING and not state.hard else step.approval


def is_stale(state: BudgetState) -> bool:
    """Is what is known about this budget too old to loosen, or to stop?"""
    return bool(stale_words(state))


def stale_words(state: BudgetState) -> tuple[str, ...]:
    """What is stale, in words."""
    ages = (("telemetry", state.telemetry_age, TELEMETRY_STALE), ("bills", state.bills_age, BILLS_STALE))
    return tuple(
        f"{name}: none seen" if age is None else f"{name}: {_hours(age)} old, over {_hours(most)}"
        for name, age, most in ages
        if age is None or age > most
    )


def margin_factor(state: BudgetState) -> Decimal:
    """1 with fresh data, and one more for each of telemetry and bills that is stale."""
    return Decimal(1 + len(stale_words(state)))


def in_quiet_hours(policy: Policy, now: datetime) -> bool:
    """Is it quiet at `now`, in the clock of the policy's zone?"""
    quiet = policy.quiet_hours
    if quiet is None or quiet.start == quiet.end:
        return False
    clock = now.astimezone(ZoneInfo(policy.zone)).time().replace(tzinfo=None)
    if quiet.start < quiet.end:
        return quiet.start <= clock < quiet.end
    return clock >= quiet.start or clock < quiet.end


def freeze_window_at(policy: Policy, now: datetime) -> FreezeWindow | None:
    """The freeze window that holds at `now`."""
    return next((each for each in policy.freeze_windows if each.start <= now < each.end), None)


def mistakes(policy: Policy, *, hard: bool = False) -> tuple[Mistake, ...]:
    """Everything that makes a policy unfit to be stored; empty when it is fit."""
    return (*_step_mistakes(policy.steps, hard=hard), *_order_mistakes(policy.steps), *_other_mistakes(policy))


@dataclass(frozen=True)
class _Judge:
    """One decision's policy, state and time, and the questions asked of them."""

    policy: Policy
    state: BudgetState
    now: datetime

    @property
    def quiet(self) -> bool:
        return in_quiet_hours(self.policy, self.now)

    @property
    def window(self) -> FreezeWindow | None:
        return freeze_window_at(self.policy, self.now)

    @property
    def active(self) -> dict[Rung, datetime]:
        """rung -> since when; of several entries of one rung the newest counts."""
        found: dict[Rung, datetime] = {}
        for each in self.state.active:
            found[each.rung] = max(each.since, found.get(each.rung, each.since))
        return found

    @property
    def may_loosen(self) -> bool:
        """Loosening needs fresh data, no freeze and the dwell; what was for an earlier period alone needs none."""
        sinces = self.active.values()
        if sinces and all(since < self.state.period_start for since in sinces):
            return True
        rested = all(self._has_rested(since) for since in sinces)
        return not is_stale(self.state) and self.window is None and rested

    def hold_all(self, why: str) -> Decision:
        held = tuple(
            Permitted(rung, Approval.NONE, f"{rung.words} stays: {why}", held=True) for rung in sorted(self.active)
        )
        return Decision(self.state.budget_id, held, (), (why,), False, margin_factor(self.state))

    def rung(self, rung: Rung, step: Step | None) -> tuple[Permitted, tuple[str, ...]] | str | None:
        """A rung's place in the answer with what keeps it from being let go; why it is blocked; or None."""
        since = self.active.get(rung)
        if since is None:
            return self._start(step) if step is not None and self.triggered(step) else None
        if since < self.state.period_start:
            return self._at_the_turn(rung, step)
        return self._hold_or_release(rung, step, since)

    def triggered(self, step: Step) -> bool:
        # Multiplied, not divided: a limit of 0 is reached by spending nothing, and no digit is lost.
        return self._value(step) * PPM >= step.threshold_ppm * self.state.limit

    def _start(self, step: Step) -> tuple[Permitted, tuple[str, ...]] | str:
        obstacle = self._obstacle(step)
        if obstacle:
            return f"{step.rung.words} is due ({self._measured(step)}), but {obstacle}"
        why = f"{step.rung.words}: {self._measured(step)}"
        return Permitted(step.rung, needed_approval(step, self.state), why), ()

    def _obstacle(self, step: Step) -> str:
        """Why a step that is due may not start now; '' when it may."""
        if step.rung is Rung.STOP and is_stale(self.state):
            return f"nothing is stopped on stale data ({', '.join(stale_words(self.state))})"
        if step.rung is not Rung.NOTIFY and self.window is not None:
            return f"nothing is changed before {_moment(self.window.end)}{_reason(self.window)}"
        if self.quiet and step.rung is Rung.NOTIFY:
            return "nobody is told in quiet hours"
        if self.quiet and step.rung >= NOTICED and not self._at_hard_limit(step):
            return "nothing that users notice starts in quiet hours"
        return ""

    def _at_hard_limit(self, step: Step) -> bool:
        return step.rung is Rung.STOP and self.state.hard

    def _at_the_turn(self, rung: Rung, step: Step | None) -> tuple[Permitted, tuple[str, ...]]:
        """In force for an earlier period: it starts anew if it is due in this one, and is let go if not."""
        due = step if step is not None and self.triggered(step) else None
        if due is not None and Rung.NOTIFY < rung < Rung.STOP and needed_approval(due, self.state).automatic:
            # It goes on as it is, so neither quiet hours nor a freeze stand in its way.
            why = f"{rung.words} goes on: {self._measured(due)}"
            return Permitted(rung, needed_approval(due, self.state), why), ()
        again = self._start(due) if due is not None else None
        if again is not None and not isinstance(again, str):
            return again
        blocked = (again,) if again else ()
        since = _moment(self.state.period_start)
        released = Permitted(rung, Approval.NONE, f"{rung.words} ends: a new period began {since}", released=True)
        return released, blocked

    def _hold_or_release(self, rung: Rung, step: Step | None, since: datetime) -> tuple[Permitted, tuple[str, ...]]:
        if step is not None and not self._is_clear(step):
            words = f"{rung.words} holds: {self._measured(step)}, let go below {_percent(step.clear_ppm)}"
            return Permitted(rung, Approval.NONE, words, held=True), ()
        why = self._measured(step) if step is not None else "the ladder has no such step any more"
        hindrance = self._hindrance(step, since)
        if hindrance:
            words = f"{rung.words} holds: {hindrance}"
            return Permitted(rung, Approval.NONE, words, held=True), (words,)
        return Permitted(rung, Approval.NONE, f"{rung.words} ends: {why}", released=True), ()

    def _hindrance(self, step: Step | None, since: datetime) -> str:
        """Why a rung that is no longer due may not be let go now; '' when it may."""
        if is_stale(self.state):
            return f"nothing is loosened on stale data ({', '.join(stale_words(self.state))})"
        if self.window is not None:
            return f"nothing is changed before {_moment(self.window.end)}{_reason(self.window)}"
        if step is not None and step.measure is Measure.FORECAST and self.state.forecast_p50 is None:
            return "nothing is loosened without a forecast"
        if not self._has_rested(since):
            return f"it holds for at least {_hours(self.policy.minimum_dwell)}"
        return ""

    def _has_rested(self, since: datetime) -> bool:
        return self.now - since >= self.policy.minimum_dwell

    def _is_clear(self, step: Step) -> bool:
        return self._value(step) * PPM < step.clear_ppm * self.state.limit

    def _value(self, step: Step) -> Decimal:
        """The amount that a step compares. Stale data makes a forecast less sure: then its upper end counts."""
        expected = self._expected() if step.measure is Measure.FORECAST else None
        return self.state.consumed if expected is None else max(self.state.consumed, expected)

    def _expected(self) -> Decimal | None:
        middle, upper = self.state.forecast_p50, self.state.forecast_p90
        if is_stale(self.state) and middle is not None and upper is not None:
            return max(middle, upper)
        return middle

    def _measured(self, step: Step) -> str:
        value, limit = self._value(step), self.state.limit
        share = f" ({_percent(int(value * PPM / limit))})" if limit > 0 else ""
        amounts = f"{_amount(value)} of {_amount(limit)} {self.state.currency}"
        if step.measure is Measure.ACTUAL:
            return f"spent {amounts}{share}"
        if self.state.forecast_p50 is None:
            return f"spent {amounts}{share}; there is no forecast to judge by"
        upper = ", the upper end, since data is stale" if is_stale(self.state) else ""
        return f"expected to end at {amounts}{share}{upper}"


def _step_mistakes(steps: Sequence[Step], *, hard: bool) -> list[Mistake]:
    found: list[Mistake] = []
    for step in steps:
        field = f"steps.{step.rung.key}"
        if not 0 < step.threshold_ppm <= MOST_PPM:
            found.append(
                Mistake(field, f"{_percent(step.threshold_ppm)} of the limit: use more than 0 % up to 1,000 %")
            )
        elif not 0 <= step.clear_ppm < step.threshold_ppm:
            found.append(
                Mistake(field, f"let go below {_percent(step.clear_ppm)}: use less than {_percent(step.threshold_ppm)}")
            )
        if step.rung is Rung.STOP and step.measure is Measure.FORECAST:
            found.append(Mistake(field, "a stop on a forecast: let it act on what is spent"))
        if step.rung is Rung.STOP and step.approval is Approval.NONE and not hard:
            found.append(Mistake(field, "a stop needs a person's yes: choose one or two, or make the limit hard"))
        if step.approval is Approval.STANDING and not hard:
            found.append(Mistake(field, "only a hard limit carries a standing yes: choose nobody, one or two persons"))
    return found


def _order_mistakes(steps: Sequence[Step]) -> list[Mistake]:
    found: list[Mistake] = []
    if len({step.rung for step in steps}) < len(steps):
        found.append(Mistake("steps", "a rung stands twice: keep one step of each"))
    if [step.rung for step in steps] != sorted(step.rung for step in steps):
        found.append(Mistake("steps", "the steps are not in order: the mildest comes first"))
    for measure in Measure:
        same = sorted((step for step in steps if step.measure is measure), key=lambda step: step.rung)
        for milder, harder in pairwise(same):
            if harder.threshold_ppm < milder.threshold_ppm:
                first, then = _percent(harder.threshold_ppm), _percent(milder.threshold_ppm)
                words = f"{harder.rung.words} at {first} starts before {milder.rung.words.lower()}: use at least {then}"
                found.append(Mistake(f"steps.{harder.rung.key}", words))
    return found


def _other_mistakes(policy: Policy) -> list[Mistake]:
    found: list[Mistake] = []
    try:
        ZoneInfo(policy.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found.append(Mistake("zone", f"{policy.zone!r} is no time zone: write it as Europe/Berlin"))
    if not timedelta(0) <= policy.minimum_dwell <= LONGEST_DWELL:
        found.append(Mistake("minimum_dwell", f"{_hours(policy.minimum_dwell)}: use 0 to {_hours(LONGEST_DWELL)}"))
    for model, choices in policy.substitutes.items():
        names = [each.model for each in choices]
        if model in names:
            found.append(Mistake("substitutes", f"{model} can't stand in for itself: choose another model"))
        if len(set(names)) < len(names):
            found.append(Mistake("substitutes", f"{model} has one substitute twice: keep one"))
    found += [
        Mistake("freeze_windows", f"a freeze ends at {_moment(window.end)}, before it starts")
        for window in policy.freeze_windows
        if window.end <= window.start
    ]
    found += [
        Mistake("priorities", f"{key}: {priority}: use 1 (low), 2 (normal) or 3 (high)")
        for key, priority in policy.priorities.items()
        if priority not in (1, 2, 3)
    ]
    return found


def _percent(ppm: int) -> str:
    return f"{Decimal(ppm).scaleb(-4).quantize(Decimal('0.1')).normalize():f} %"


def _amount(value: Decimal) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.0f} h" if hours >= 1 or not span else f"{span / timedelta(minutes=1):.0f} min"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".strip()


def _reason(window: FreezeWindow) -> str:
    return f" ({window.reason})" if window.reason else ""


def active_of(decision: Decision, state: BudgetState, now: datetime) -> tuple[ActiveRung, ...]:
    """What is in force after all that needs nobody's yes is done: for replays, and where the loop does just that."""
    before = {each.rung: each.since for each in state.active if each.since >= state.period_start}
    return tuple(
        ActiveRung(each.rung, before.get(each.rung, now)) for each in decision.allowed if each.approval.automatic
    )
