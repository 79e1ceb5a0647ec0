"""What the three bills share: exact amounts as text, meter readings, and rows kept by billing period."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from attribution.simulator.books import Books, Key, unattributed
from attribution.simulator.company import ATTO, Offer

Row = Mapping[str, str]


def atto(usd: str) -> int:
    """1e-18 dollars from dollars as text."""
    return int(Decimal(usd) * ATTO)


def usd(amount: int) -> str:
    """Dollars from 1e-18 dollars: every digit, no exponent, no trailing zeros."""
    return plain(Decimal(amount).scaleb(-18))


def plain(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def per(count: int, block: int) -> str:
    """`count` in units of `block`, a power of ten."""
    return plain(Decimal(count) / block)


def token(*parts: object, length: int = 32) -> str:
    """A stable made-up identifier."""
    return sha256("|".join(map(str, parts)).encode()).hexdigest()[:length]


def guid(*parts: object) -> str:
    text = token(*parts)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


def month_of(day: date) -> str:
    return f"{day:%Y-%m}"


def month_start(period: str) -> date:
    return date.fromisoformat(f"{period}-01")


def month_end(period: str) -> date:
    """The first day of the next month."""
    return (month_start(period) + timedelta(days=32)).replace(day=1)


def instant(day: date, second: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=second)


@dataclass
class Reading:
    """Tokens of one offer, band, business unit and tagged resource in one span of a day."""

    offer: Offer
    band: int
    unit: str
    resource: str
    owner: tuple[str, str] | None  # (team, project) that the resource's tags name
    start: int  # seconds of the day
    end: int
    tokens: list[int] = field(default_factory=lambda: [0] * 5)
    reasoning: int = 0


@dataclass
class Bill:
    """Rows by billing period, and the sums that they claim; the books must agree with them."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    billed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    effective: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, period: str, row: Row, billed: int, effective: int) -> None:
        self.rows[period].append(row)
        self.billed[period] += billed
        self.effective[period] += effective


def post_whole(
    books: Books, provider: str, period: str, reason: str, billed: int, effective: int, model: str = "", kind: str = ""
) -> None:
    """Books a line that no team carries."""
    books.post(unattributed(provider, period, model, kind, reason), billed, effective)


def post_owned(books: Books, provider: str, period: str, owner: tuple[str, str], billed: int, effective: int) -> None:
    """Books a line without tokens whose tags name an owner."""
    books.post(Key(provider, period, *owner, "", "", ""), billed, effective)
