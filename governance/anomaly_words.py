"""Anomalies in words: what caused one, which driver moved it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from governance.dashboards import formats, labels
from governance.forecasting.anomalies import Cause
from governance.forecasting.drivers import Drivers


@dataclass(frozen=True)
class DriverWords:
    """A part of a difference: its name, what it is, and how a sentence says that it raised the cost."""

    name: str
    meaning: str
    sentence: str


DRIVERS = {
    "volume": DriverWords("Volume", "more or fewer tokens, at the old prices and in the old mixture", "more tokens"),
    "price": DriverWords(
        "Price", "the new price of a token against the old one, on the new tokens", "a higher price per token"
    ),
    "mix": DriverWords(
        "Mix", "tokens moved between models, providers or projects that cost differently", "a dearer mixture"
    ),
    "new": DriverWords("New", "what there was nothing of before", "new cost"),
    "gone": DriverWords("Gone", "what there is nothing of any more", "use that is gone"),
    "unmetered": DriverWords(
        "Not metered", "cost whose tokens nobody counted, so that it has no unit price", "cost without a token count"
    ),
}


def cause_words(cause: Cause, teams: int, names: Mapping[str, str], reason: str = "") -> str:
    """'Claims, Claude Sonnet 4.5 on AWS'; '9 teams, GPT-5 on Azure'; 'Everything'.

    teams: how many have a part; names: slug -> the catalogue's name; reason: why it has no owner, if it has none.
    """
    of = dict(cause)
    words = []
    if "team" in of:
        without = labels.entity("reason", reason) if reason else "Without an owner"
        words.append(without if of["team"] is None else labels.entity("team", of["team"], dict(names)))
    elif teams > 1:
        words.append(f"{teams} teams")
    if of.get("model") is not None:
        words.append(labels.entity("model", of["model"]))
    if of.get("provider") is not None:
        provider = labels.entity("provider", of["provider"])
        words = [*words[:-1], f"{words[-1]} on {provider}"] if words else [provider]
    return ", ".join(words) or "Everything"


def why(drivers: Drivers, excess: Decimal) -> str:
    """'More tokens, 87 %': the part that raised the cost most, and its share of the excess; a dash where none did."""
    parts = {name: amount for name, amount in drivers.parts().items() if amount > 0}
    if not parts or excess <= 0:
        return formats.UNKNOWN
    largest = max(parts, key=lambda each: parts[each])
    words = DRIVERS[largest].sentence.capitalize()
    # Above 95 % (also above 100, where other parts lowered it) the rest isn't worth a word.
    share = parts[largest] / excess
    return words if share >= Decimal("0.95") else f"{words}, {formats.percent(share, Decimal(1), 0)} %"
