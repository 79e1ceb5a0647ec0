"""The line that tells the truth about the data: per provider, how far bills and telemetry reach. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from attribution.selectors import ProviderFreshness
from governance.dashboards import formats, labels

# Bills of the three clouds settle within a day or two; more than this many days without a settled day is said aloud.
LATE_AFTER_DAYS = 3


@dataclass(frozen=True)
class FreshnessLine:
    provider: str
    words: str
    is_late: bool
    has_bill: bool


def lines(found: Sequence[ProviderFreshness], today: date) -> list[FreshnessLine]:
    """A line a provider; what holds for all of them is said once, in a last line without a provider."""
    telemetry = {each.estimated_through for each in found}
    shared = telemetry.pop() if len(telemetry) == 1 and len(found) > 1 else None
    shown = [_line(each, today, say_telemetry=shared is None) for each in found]
    if shared is not None and any(each.billed_through is None or each.billed_through <= shared for each in found):
        shown.append(FreshnessLine("", f"All estimated from telemetry to {formats.day(shared, today)}", False, True))
    return shown


def newest_day(found: Sequence[ProviderFreshness]) -> date | None:
    """The last day with figures, billed or estimated."""
    days = [each.billed_through - timedelta(days=1) for each in found if each.billed_through]
    days += [each.estimated_through for each in found if each.estimated_through]
    return max(days, default=None)


def _line(one: ProviderFreshness, today: date, *, say_telemetry: bool) -> FreshnessLine:
    parts, late = [], False
    if one.billed_through is None:
        parts.append("no bill yet")
    else:
        last = one.billed_through - timedelta(days=1)
        parts.append(f"billed to {formats.day(last, today)}")
        behind = (today - timedelta(days=1) - last).days
        late = behind > LATE_AFTER_DAYS
        if late:
            parts[-1] += f", {behind} days ago"
    telemetry, settled = one.estimated_through, one.billed_through
    if say_telemetry and telemetry is not None and (settled is None or telemetry >= settled):
        parts.append(f"estimated to {formats.day(telemetry, today)}")
    if one.captured_share is not None:
        parts.append(f"{one.captured_share * 100:.1f} % captured")
    return FreshnessLine(labels.provider(one.provider), ", ".join(parts), late, one.billed_through is not None)
