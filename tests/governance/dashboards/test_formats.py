"""How numbers are written on pages: the laws, and the examples of the design system."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.dashboards import formats

amounts = st.decimals(min_value=-(10**12), max_value=10**12, places=18, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("208477.08", "208,477.08"),
        ("-1250", "−1,250.00"),
        ("0.000384", "384\u00a0µ$"),
        ("0.0000009", "0.900\u00a0µ$"),
        ("0.0099", "9,900\u00a0µ$"),
        ("0.01", "0.01"),
        ("0", "0"),
    ],
)
def test_money_has_two_decimals_and_micro_dollars_below_a_cent(amount: str, shown: str) -> None:
    assert formats.money(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"), [("208477.08", "$208,477"), ("999.99", "$999.99"), ("-12.5", "−$12.50"), ("0", "$0.00")]
)
def test_tiles_round_from_a_thousand_up(amount: str, shown: str) -> None:
    assert formats.tile_money(Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("price", "shown"),
    [
        ("15", "15.0"),
        ("4.6244", "4.62"),
        ("0.11849", "0.118"),
        ("9.996", "10.0"),
        ("0.611", "0.611"),
        ("1234.5", "1,230"),
    ],
)
def test_unit_prices_have_three_significant_digits(price: str, shown: str) -> None:
    assert formats.unit_price(Decimal(price)) == shown


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [("106.9", "100", "+6.9"), ("91.4", "100", "−8.6"), ("100", "100", "0.0"), ("1", "0", "new"), ("0", "1", "gone")],
)
def test_a_change_carries_its_sign(now: str, before: str, shown: str) -> None:
    assert formats.change(Decimal(now), Decimal(before)) == shown


def test_unknown_is_an_en_dash_and_never_zero() -> None:
    shown = [
        formats.money(None),
        formats.tile_money(None),
        formats.unit_price(None),
        formats.millions(None),
        formats.percent(None, Decimal(1)),
        formats.change(None, Decimal(1)),
        formats.compact(None)[0],
    ]
    assert set(shown) == {"–"}


@given(amounts)
def test_a_cent_or_more_reads_back_to_the_amount_rounded_once(amount: Decimal) -> None:
    if abs(amount) < Decimal("0.01"):
        return
    shown = formats.money(amount).replace(",", "").replace("−", "-")
    assert abs(Decimal(shown) - amount) <= Decimal("0.005")


@given(amounts)
def test_a_known_amount_that_is_not_zero_never_reads_as_zero(amount: Decimal) -> None:
    digits = {character for character in formats.money(amount) if character.isdigit()}
    assert (digits == {"0"}) == (amount == 0)


@given(amounts)
def test_the_exact_text_loses_nothing(amount: Decimal) -> None:
    assert Decimal(formats.exact(amount)) == amount
    assert "E" not in formats.exact(amount)


@given(st.decimals(min_value=Decimal("0.000001"), max_value=Decimal(10) ** 9, places=12))
def test_three_significant_digits_stay_within_half_a_unit_of_the_third(price: Decimal) -> None:
    shown = Decimal(formats.unit_price(price).replace(",", ""))
    assert abs(shown - price) <= price * Decimal("0.005")


@given(amounts, amounts)
def test_no_hyphen_stands_for_a_minus(now: Decimal, before: Decimal) -> None:
    for text in (formats.money(now), formats.tile_money(now), formats.change(now, before), formats.signed_money(now)):
        assert "-" not in text


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(1, 500))
def test_a_span_names_its_last_day_not_its_exclusive_end(start: date, days: int) -> None:
    last = start + timedelta(days=days - 1)
    assert formats.span(start, start + timedelta(days=days)).endswith(f"{last.year}")
    assert f"{last.day} " in formats.span(start, start + timedelta(days=days))


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        (date(2026, 11, 1), date(2026, 11, 24), "1–23 Nov 2026"),
        (date(2026, 10, 28), date(2026, 11, 5), "28 Oct – 4 Nov 2026"),
        (date(2025, 12, 30), date(2026, 1, 2), "30 Dec 2025 – 1 Jan 2026"),
        (date(2026, 11, 1), date(2026, 11, 2), "1 Nov 2026"),
    ],
)
def test_spans_read_as_people_write_them(start: date, end: date, shown: str) -> None:
    assert formats.span(start, end) == shown


def test_a_difference_of_the_last_digit_is_not_hidden_by_rounding() -> None:
    assert formats.difference(Decimal("0.000000000000000001")) == "0.000000000000000001"
    assert formats.difference(Decimal(0)) == "0.00"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("=1+cmd|'/C calc'!A0", "'=1+cmd|'/C calc'!A0"),
        ("+1+1", "'+1+1"),
        ("@sum", "'@sum"),
        ("-12.50", "-12.50"),
        ("+3", "+3"),
        ("Search", "Search"),
        (7, 7),
    ],
)
def test_no_text_of_an_export_is_a_formula(text: object, written: object) -> None:
    assert formats.unformula(text) == written
