"""Money keeps every digit, whatever is done with it."""

import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from attribution.models.fields import MoneyField
from attribution.money import (
    LIMIT,
    CurrencyMismatch,
    Money,
    NotAnAmount,
    exact_sum,
    from_units,
    parse_double,
    parse_exact,
    to_units,
)

# All of DECIMAL(38,18), and a third of it so that sums of three stay inside.
UNITS = st.integers(-(10**38) + 1, 10**38 - 1)
THIRDS = st.integers(-(10**37) * 3, 10**37 * 3)


def usd(units: int) -> Money:
    return Money(from_units(units), "USD")


@given(THIRDS, THIRDS, THIRDS)
def test_addition_is_that_of_whole_units(a, b, c):
    assert to_units((usd(a) + usd(b) + usd(c)).amount) == a + b + c
    assert usd(a) + (usd(b) + usd(c)) == (usd(a) + usd(b)) + usd(c)
    assert usd(a) + usd(b) == usd(b) + usd(a)
    assert usd(a) - usd(b) == usd(a) + -usd(b)
    assert Money.total([usd(a), usd(b), usd(c)], "USD") == usd(a + b + c)
    assert to_units(exact_sum([from_units(a), from_units(b), from_units(c)])) == a + b + c


@given(THIRDS, THIRDS)
def test_order_is_that_of_whole_units(a, b):
    assert (usd(a) < usd(b), usd(a) <= usd(b), usd(a) > usd(b), usd(a) >= usd(b)) == (a < b, a <= b, a > b, a >= b)
    assert (usd(a) == usd(b)) == (a == b)
    assert bool(usd(a)) == bool(a)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**7), 10**7))
def test_a_whole_multiple_is_exact(units, count):
    assert to_units((usd(units) * count).amount) == units * count


@given(UNITS)
@example(10**38 - 1)
@example(1)
def test_units_and_texts_come_back_as_they_went(units):
    amount = from_units(units)
    assert to_units(amount) == units
    assert parse_exact(f"{amount:f}") == (amount, 0)
    assert parse_exact(str(amount)) == (amount, 0)
    field = MoneyField()
    assert field.from_db_value(field.get_prep_value(amount)) == amount


@given(st.integers(-(10**37), 10**37), st.integers(0, 10**12 - 1))
def test_rounding_is_half_even_at_eighteen_places_and_the_residue_is_the_rest(units, tail):
    """`tail` counts 10^-30: twelve digits behind the eighteenth."""
    scaled = units * 10**12 + tail
    text = f"{scaled}e-30"
    value, residue = parse_exact(text)
    quotient, rest = divmod(scaled, 10**12)
    up = rest > 5 * 10**11 or (rest == 5 * 10**11 and quotient % 2 == 1)
    assert to_units(value) == quotient + up
    assert residue == Decimal(rest - up * 10**12).scaleb(-30)


@given(st.floats(min_value=-1e19, max_value=1e19, allow_nan=False))
@example(12345.678901)
@example(5e-324)
@example(0.1)
def test_a_double_goes_through_its_shortest_text(number):
    value, residue = parse_double(number)
    assert (value, residue) == parse_exact(repr(number))
    if not residue:
        assert float(value) == number


def test_the_usual_double_keeps_its_digits():
    assert parse_double(12345.678901) == (Decimal("12345.678901"), 0)


@pytest.mark.parametrize(
    ("text", "value", "residue"),
    [
        ("1", "1", "0"),
        (".5", "0.5", "0"),
        ("5.", "5", "0"),
        ("-1.25E-3", "-0.00125", "0"),
        ("+7e2", "700", "0"),
        ("-0", "0", "0"),
        ("0.0000000000000000005", "0", "5e-19"),
        ("0.0000000000000000015", "2e-18", "-5e-19"),
        ("0.0000000000000000025", "2e-18", "5e-19"),
        ("-0.0000000000000000015", "-2e-18", "5e-19"),
        ("1e-999", "0", "1e-999"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999", "0"),
    ],
)
def test_literals(text, value, residue):
    parsed = parse_exact(text)
    assert parsed == (Decimal(value), Decimal(residue))
    assert "-0" not in {str(parsed[0]), str(parsed[1])}


@pytest.mark.parametrize(
    "text",
    ["", " ", "1 ", "1,5", "1_000", "$1", "NaN", "nan", "inf", "-Infinity", "0x10", "١٢", "1e", "e5", ".", "--1",
     "1e99999", "100000000000000000000", "1e20", "-1e400", "99999999999999999999.9999999999999999999", "9" * 201],
)  # fmt: skip
def test_what_is_no_plain_decimal_of_that_size_is_refused(text):
    with pytest.raises(NotAnAmount):
        parse_exact(text)


@given(st.text(max_size=30) | st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,30}(e-?[0-9]{1,2})?", fullmatch=True))
def test_any_text_is_an_amount_or_refused(text):
    try:
        value, residue = parse_exact(text)
    except NotAnAmount:
        return
    assert Fraction(value) + Fraction(residue) == Fraction(text)
    assert abs(Fraction(residue)) <= Fraction(1, 2 * 10**18)
    assert value.copy_abs() < LIMIT


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), sys.float_info.max])
def test_a_double_that_is_no_amount_is_refused(number):
    with pytest.raises(NotAnAmount):
        parse_double(number)


@pytest.mark.parametrize("amount", [1.0, 1, "1", True, None])
def test_money_is_made_of_decimals_only(amount):
    with pytest.raises(TypeError):
        Money(amount, "USD")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e20", "1e-19", "0.1234567890123456789"])
def test_money_holds_what_the_lake_can_hold(amount):
    with pytest.raises(NotAnAmount):
        Money(Decimal(amount), "USD")
    with pytest.raises(NotAnAmount):
        MoneyField().get_prep_value(Decimal(amount))


@pytest.mark.parametrize("currency", ["", "usd", " USD", "USD "])
def test_a_currency_is_a_code(currency):
    with pytest.raises(ValueError, match="currency"):
        Money(Decimal(1), currency)


def test_two_currencies_never_meet():
    one, other = Money(Decimal(1), "USD"), Money(Decimal(1), "EUR")
    assert one != other
    for meet in (lambda: one + other, lambda: one - other, lambda: one < other, lambda: one >= other):
        with pytest.raises(CurrencyMismatch, match="dated rate"):
            meet()
    with pytest.raises(CurrencyMismatch):
        Money.total([one, other], "USD")
    with pytest.raises(TypeError):
        one + Decimal(1)


def test_what_overflows_the_lake_is_refused_and_not_wrapped():
    most = usd(10**38 - 1)
    with pytest.raises(NotAnAmount):
        most + usd(1)
    with pytest.raises(NotAnAmount):
        most * 2
    with pytest.raises(TypeError):
        most * 0.5


def test_rounding_for_people_is_half_even():
    assert str(Money(Decimal("2.345"), "USD").rounded()) == "2.34 USD"
    assert str(Money(Decimal("2.355"), "USD").rounded()) == "2.36 USD"
    assert str(Money(Decimal("-0.001"), "USD").rounded()) == "0.00 USD"
    assert str(Money(Decimal("1E+3"), "JPY").rounded(0)) == "1000 JPY"


def test_a_field_refuses_floats():
    with pytest.raises(TypeError, match="never a float"):
        MoneyField().get_prep_value(0.1)
