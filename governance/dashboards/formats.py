"""How numbers, dates and changes are written on pages. Pure; the only place where a figure is rounded.

A minus is U+2212, a change always carries its sign, unknown is an en dash and never 0, money below a cent is in
micro-units of its currency, unit prices have three significant digits. Exact decimals go to titles and exports.
"""

import re
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

MINUS = "\u2212"
UNKNOWN = "\u2013"
NARROW = "\u00a0"
_CENT = Decimal("0.01")
_MICRO = Decimal("0.000001")
_MILLION = Decimal(1_000_000)
# Quantizing a ledger's figure (38 digits) must never run out of the default 28.
_WIDE = Context(prec=100)
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SIGNED = re.compile(r"[+-][0-9]+(\.[0-9]+)?")


def exact(value: Decimal | int | None) -> str:
    """Every digit of `value`, without an exponent and without trailing zeros; '' for unknown."""
    if value is None:
        return ""
    text = f"{Decimal(value):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def symbol(currency: str) -> str:
    """The sign of a currency, or its code and a space."""
    return _SYMBOLS.get(currency, f"{currency}{NARROW}" if currency else "")


def money(amount: Decimal | None, currency: str = "USD") -> str:
    """A cell's amount: two decimals; micro-units below a cent; 0 for a measured nothing. The head has the currency."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "0"
    if abs(amount) < _CENT:
        return _micro(amount, currency)
    return _fixed(amount, 2)


def tile_money(amount: Decimal | None, currency: str = "USD") -> str:
    """A tile's amount with its sign of currency: whole units from 1,000 up, cents below, micro-units below a cent."""
    if amount is None:
        return UNKNOWN
    if amount != 0 and abs(amount) < _CENT:
        return _micro(amount, currency)
    text = _fixed(abs(amount), 0 if abs(amount) >= 1000 else 2)
    return f"{MINUS if amount < 0 else ''}{symbol(currency)}{text}"


def signed_money(amount: Decimal | None, currency: str = "USD") -> str:
    """A difference: as `money`, always with its sign."""
    if amount is None:
        return UNKNOWN
    return money(amount, currency) if amount <= 0 else f"+{money(amount, currency)}"


def difference(amount: Decimal) -> str:
    """What a proof comes to: '0.00' only when it is exactly zero, else every digit."""
    return "0.00" if amount == 0 else exact(amount).replace("-", MINUS)


def unit_price(price: Decimal | None) -> str:
    """Currency units per 1M tokens with three significant digits: 15.0, 4.62, 0.118, 1,230."""
    if price is None:
        return UNKNOWN
    if price == 0:
        return "0"
    return significant(price, 3)


def significant(value: Decimal, digits: int) -> str:
    """`value` rounded to `digits` significant digits, written without an exponent."""
    if value == 0:
        return "0"
    # Rounding may carry into a new digit (9.996 -> 10.0), so the exponent is read after it.
    once = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), ROUND_HALF_UP, _WIDE)
    decimals = max(0, digits - 1 - once.adjusted())
    return _fixed(once, decimals)


def usd_per_mtok(cost: Decimal | None, tokens: int | None) -> Decimal | None:
    """Cost per one million tokens; unknown when either is unknown or there are no tokens."""
    if cost is None or not tokens:
        return None
    return cost * _MILLION / tokens


def millions(tokens: int | None) -> str:
    """A token count in millions: whole from 1,000 M up, three significant digits below."""
    if tokens is None:
        return UNKNOWN
    value = Decimal(tokens) / _MILLION
    return _fixed(value, 0) if abs(value) >= 1000 else significant(value, 3)


def compact(count: int | None) -> tuple[str, str]:
    """A count for a tile and its unit: ('203.8', 'B'), ('12.4', 'M'), ('950', '')."""
    if count is None:
        return UNKNOWN, ""
    for limit, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M")):
        if abs(count) >= limit:
            return significant(Decimal(count) / limit, 4), unit
    return whole(count), ""


def whole(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}".replace("-", MINUS)


def percent(part: Decimal | None, of: Decimal | None, decimals: int = 1) -> str:
    """`part` of `of` in percent, without its sign: '41.2'; '<0.1' rather than a 0 that isn't; a dash for no whole."""
    if part is None or not of:
        return UNKNOWN
    value, least = part / of * 100, Decimal(1).scaleb(-decimals)
    return f"<{least:f}" if 0 < value < least / 2 else _fixed(value, decimals)


def change(now: Decimal | None, before: Decimal | None) -> str:
    """The change in percent, signed: '+6.9', '−8.6', '0.0'; 'new' or 'gone' where one side is 0; a dash if unknown."""
    if now is None or before is None:
        return UNKNOWN
    if before == 0:
        return UNKNOWN if now == 0 else "new"
    if now == 0:
        return "gone"
    text = _fixed((now - before) / abs(before) * 100, 1)
    return text if text[0] == MINUS or text == "0.0" else f"+{text}"


def direction(now: Decimal | None, before: Decimal | None) -> str:
    """The class of a change in cost: 'up' costs more, 'down' costs less, '' neither or unknown."""
    if now is None or before is None or now == before:
        return ""
    return "up" if now > before else "down"


def day(value: date | None, today: date | None = None) -> str:
    """'23 Nov', with its year where that isn't today's."""
    if value is None:
        return UNKNOWN
    text = f"{value.day} {_MONTHS[value.month - 1]}"
    return text if today is not None and value.year == today.year else f"{text} {value.year}"


def month(period: str) -> str:
    """'October 2026' short: a billing period '2026-10' becomes 'Oct 2026'."""
    year, number = period.split("-")
    return f"{_MONTHS[int(number) - 1]} {year}"


def span(start: date, end: date, *, year: bool = True) -> str:
    """The days [start, end) in words: '1–23 Nov 2026', '28 Oct – 4 Nov 2026'. `end` is exclusive, as everywhere."""
    last = max(start, end - timedelta(days=1))
    tail = f" {last.year}" if year else ""
    if start == last:
        return f"{start.day} {_MONTHS[start.month - 1]}{tail}"
    if (start.year, start.month) == (last.year, last.month):
        return f"{start.day}{UNKNOWN}{last.day} {_MONTHS[last.month - 1]}{tail}"
    if start.year != last.year:
        return f"{day(start)} {UNKNOWN} {day(last)}"
    return f"{start.day} {_MONTHS[start.month - 1]} {UNKNOWN} {last.day} {_MONTHS[last.month - 1]}{tail}"


def moment(value: datetime | None, today: date | None = None) -> str:
    """'22 Nov 10:12' (UTC)."""
    return UNKNOWN if value is None else f"{day(value.date(), today)} {value:%H:%M}"


def duration(seconds: float | None) -> str:
    """'20 s', '4 min', '9 h', '3 days'."""
    if seconds is None:
        return UNKNOWN
    for limit, size, unit in ((90, 1, "s"), (90 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} days"


def _micro(amount: Decimal, currency: str) -> str:
    micro = amount / _MICRO
    text = _fixed(micro, 0) if abs(micro) >= 100 else significant(micro, 3)
    return f"{text}{NARROW}µ{symbol(currency).strip(NARROW)}"


def _fixed(value: Decimal, decimals: int) -> str:
    rounded = value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP, _WIDE)
    if rounded == 0:
        rounded = abs(rounded)
    return f"{rounded:,f}".replace("-", MINUS)


def unformula(value: object) -> object:
    """A text that a spreadsheet would run as a formula gets an apostrophe; signed numbers are left alone."""
    if not isinstance(value, str) or value[:1] not in ("=", "+", "-", "@", "\t", "\r"):
        return value
    return value if _SIGNED.fullmatch(value) else f"'{value}"
