"""Comparing a ledger with a truth."""

from decimal import Decimal
from typing import Any

from attribution.oracle import compare


def row(team: str, billed: str, effective: str | None = None, **changed: str) -> dict[str, Any]:
    base = {
        "provider": "aws",
        "billing_period": "2026-08",
        "project": "",
        "model": "m",
        "token_type": "output",
        "reason": "",
    }
    known = billed if effective is None else effective
    return base | {"team": team, "billed_cost": Decimal(billed), "effective_cost": Decimal(known)} | changed


def test_equal_rows_are_equal_however_they_are_cut() -> None:
    result = compare([row("a", "3")], [row("a", "1"), row("a", "2")])
    assert result.is_equal
    assert result.compared == {"totals": 1, "reasons": 1, "owners": 1, "cells": 1}


def test_a_dollar_on_the_wrong_team_departs_though_the_total_is_right() -> None:
    result = compare([row("a", "3"), row("b", "1")], [row("a", "2"), row("b", "2")])
    assert [item.level for item in result.departures if item.basis == "billed"] == [
        "owners",
        "owners",
        "cells",
        "cells",
    ]
    assert result.departures[0].difference == Decimal(-1)


def test_a_total_must_be_equal_to_the_last_digit_and_a_share_nearly() -> None:
    tiny = Decimal("0.000000000000000001")
    result = compare([row("a", "3")], [row("a", str(3 + tiny))])
    assert {item.level for item in result.departures} == {"totals"}


def test_an_unknown_cost_is_a_departure() -> None:
    result = compare([row("a", "3")], [row("a", "3") | {"effective_cost": None}])
    assert {item.basis for item in result.departures} == {"effective"}
