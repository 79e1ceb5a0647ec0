"""What a night stores and what readers, commands and people get of it."""

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from attribution.models import AuditEntry, TaskRun
from governance import forecast_fits, forecasts
from governance.forecast_tasks import fit_forecasts as nightly
from governance.forecasting.values import ForecastScope
from governance.models import ForecastEvent, ForecastRun, ForecastVerdict, KeptForecast
from tests.governance.forecasting.conftest import NOW

pytestmark = pytest.mark.django_db
Api = Callable[[str], Client]
LAUNCH = {
    "kind": "launch",
    "title": "New assistant",
    "scope": {"team": "search"},
    "starts_on": "2026-05-20",
    "amount_per_day": "4",
    "currency": "USD",
}


def stored(text: str, **more: Any) -> forecasts.StoredForecast:
    found = forecasts.forecast_for(ForecastScope.parse(text), currency="USD", **more)
    assert found is not None
    return found


def first_day(text: str) -> float:
    return float(stored(text).days[0].p50)


def send(client: Client, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    answer = client.generic(method, f"/api/v1{path}", json.dumps(body or {}), content_type="application/json")
    return answer.status_code, (json.loads(answer.content) if answer.content else None)


def test_before_the_first_fit_nothing_is_forecast(spending):
    assert forecasts.forecast_for(ForecastScope(), currency="USD") is None
    assert forecasts.currencies() == ()


def test_a_fit_keeps_every_scope_and_sums_any_other(spending, company):
    fitted = forecast_fits.fit_forecasts(NOW)
    assert (fitted.runs, fitted.leaves) == (2, 8)  # cost and tokens of four leaves each
    assert first_day("all") == pytest.approx(20, rel=0.01)
    assert first_day("team=search") == pytest.approx(12, rel=0.01)
    # A unit has the teams below it, and a scope that nobody fitted is summed.
    assert first_day("team=products") == pytest.approx(17, rel=0.01)
    assert first_day("model=claude,team=search,provider=aws") == pytest.approx(10, rel=0.01)
    assert forecasts.forecast_for(ForecastScope.parse("team=nobody"), currency="USD") is None
    tokens = forecasts.forecast_for(ForecastScope.parse("team=ads"), currency="", measure=forecasts.TOKENS)
    assert float(tokens.days[0].p50) == pytest.approx(500, rel=0.01)


def test_it_says_what_it_was_made_of(spending):
    forecast_fits.fit_forecasts(NOW)
    one = stored("all")
    assert (one.first_day, one.made_at, len(one.days)) == (date(2026, 5, 20), NOW, 90)
    assert one.inputs_revision
    assert one.provisional  # four series promise nothing
    assert not one.cold_start
    assert one.history_days == 60
    # 19 days of 20 spent, 12 to come.
    total = one.period_total(date(2026, 5, 1), date(2026, 6, 1), Decimal(380))
    assert float(total.p50) == pytest.approx(620, rel=0.01)


def test_every_forecast_is_kept_and_can_be_read_as_of_then(spending):
    forecast_fits.fit_forecasts(NOW)
    forecast_fits.fit_forecasts(NOW + timedelta(hours=3))
    assert ForecastRun.objects.count() == 4
    assert stored("all").made_at == NOW + timedelta(hours=3)
    assert stored("all", as_of=NOW + timedelta(hours=1)).made_at == NOW
    assert forecasts.forecast_for(ForecastScope(), currency="USD", as_of=NOW - timedelta(hours=1)) is None


def test_of_old_runs_the_kept_scopes_stay(spending):
    forecast_fits.fit_forecasts(NOW)
    before = stored("team=search")
    forecast_fits.fit_forecasts(NOW + timedelta(hours=1))
    forecast_fits.forget(NOW + timedelta(days=forecast_fits.SUMMABLE_DAYS, hours=1))
    old = ForecastRun.objects.filter(made_at=NOW, measure="cost").get()
    assert (bytes(old.paths), bytes(old.misses), old.misses_dropped) == (b"", b"", True)
    assert not ForecastRun.objects.filter(made_at__gt=NOW, misses_dropped=True).exists()
    after = stored("team=search", as_of=NOW)
    assert [float(day.p50) for day in after.days] == pytest.approx([float(day.p50) for day in before.days], rel=1e-5)
    assert (
        forecasts.forecast_for(ForecastScope.parse("model=nova,provider=aws,team=search"), currency="USD", as_of=NOW)
        is None
    )


def test_an_event_moves_the_next_fit_and_not_the_one_before(spending, company, api):
    forecast_fits.fit_forecasts(NOW)
    code, made = send(api("lead"), "POST", "/forecast-events", LAUNCH)
    assert code == 201, made
    assert first_day("team=search") == pytest.approx(12, rel=0.01)
    forecast_fits.fit_forecasts(NOW + timedelta(minutes=1))
    assert first_day("team=search") == pytest.approx(16, rel=0.01)
    assert first_day("team=products") == pytest.approx(21, rel=0.01)
    assert first_day("team=ads") == pytest.approx(5, rel=0.01)
    assert stored("team=search").events == ("New assistant (launch, from 2026-05-20)",)


def test_events_are_changed_withdrawn_and_audited(spending, api):
    lead = api("lead")
    _, made = send(lead, "POST", "/forecast-events", LAUNCH)
    path = f"/forecast-events/{made['id']}"
    code, changed = send(lead, "PUT", path, {**LAUNCH, "amount_per_day": "6.50", "version": 1})
    assert (code, changed["amount_per_day"], changed["version"]) == (200, "6.5", 2)
    code, told = send(lead, "PUT", path, {**LAUNCH, "version": 1})
    assert (code, told["current"]["version"]) == (409, 2)
    assert send(lead, "DELETE", f"{path}?version=2")[0] == 204
    assert send(lead, "GET", path)[0] == 404
    assert [entry.action for entry in AuditEntry.objects.order_by("seq")] == [
        "forecast_event.added",
        "forecast_event.changed",
        "forecast_event.withdrawn",
    ]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "holiday", "factor_ppm": 100_000}, "ends_on"),
        ({"kind": "holiday", "ends_on": "2026-05-25"}, "factor_ppm"),
        ({"kind": "price_change"}, "factor_ppm"),
        ({"kind": "migration"}, "target"),
        ({"amount_per_day": None}, "amount_per_day"),
        ({"ends_on": "2026-05-20"}, "ends_on"),
        ({"title": " "}, "title"),
        ({"currency": ""}, "currency"),
        ({"scope": {"team": "search", "colour": "red"}}, "scope"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_no_event_is_refused_by_field(api, given, field):
    body = {**LAUNCH, **({"amount_per_day": None, "currency": ""} if "kind" in given else {}), **given}
    code, problem = send(api("lead"), "POST", "/forecast-events", body)
    assert code == 400, problem
    assert field in [error["field"] for error in problem["errors"]]
    assert not ForecastEvent.objects.exists()


@pytest.mark.parametrize(
    ("person", "scope", "code"),
    [
        ("owner", {"team": "labs"}, 201),
        ("operator", {}, 201),
        ("lead", {"team": "search"}, 201),
        ("lead", {}, 403),
        ("lead", {"team": "labs"}, 403),
        ("viewer", {"team": "labs"}, 403),
        ("member", {"team": "search"}, 403),
        ("outsider", {"team": "search"}, 403),
    ],
)
def test_who_may_say_an_event(api, person, scope, code):
    assert send(api(person), "POST", "/forecast-events", {**LAUNCH, "scope": scope})[0] == code


def test_an_event_of_another_team_is_not_there(api):
    _, made = send(api("other_lead"), "POST", "/forecast-events", {**LAUNCH, "scope": {"team": "labs"}})
    path = f"/forecast-events/{made['id']}"
    lead = api("lead")
    assert send(lead, "GET", "/forecast-events")[1] == {"rows": []}
    assert send(lead, "GET", path)[0] == 404
    assert send(lead, "PUT", path, {**LAUNCH, "version": 1})[0] == 404
    assert send(lead, "DELETE", f"{path}?version=1")[0] == 404


def test_who_may_read_which_forecast(spending, api):
    forecast_fits.fit_forecasts(NOW)
    for person, scope, code in (
        ("owner", "all", 200),
        ("viewer", "team=labs", 200),
        ("lead", "team=products", 200),
        ("lead", "team=search,model=nova", 200),
        ("lead", "all", 403),
        ("lead", "team=labs", 403),
        ("lead", "model=claude", 403),
        ("member", "team=search", 200),
        ("member", "team=products", 403),
        ("outsider", "team=search", 403),
        ("owner", "team=nobody", 404),
        ("owner", "colour=red", 400),
    ):
        assert send(api(person), "GET", f"/forecasts?scope={scope}")[0] == code, (person, scope)


def test_the_api_gives_days_and_the_periods_total(spending, api):
    forecast_fits.fit_forecasts(NOW)
    _, answer = send(api("lead"), "GET", "/forecasts?scope=team=ads")
    assert set(answer["days"][0]) == {"day", "p10", "p50", "p90"}
    period = answer["period"]
    # 1 to 19 May: 19 days of 5, and a cent on the six of them that are a multiple of three days after 21 March.
    assert (period["start"], period["end"], period["spent"]) == ("2026-05-01", "2026-06-01", "95.060000")
    assert float(period["p50"]) == pytest.approx(155, rel=0.01)
    assert float(period["p2_5"]) <= float(period["p10"]) <= float(period["p50"]) <= float(period["p97_5"])


def test_commands_print_the_documented_json(spending):
    out = io.StringIO()
    call_command("forecast", fit=True, json=True, scope="team=search", stdout=out)
    answer = json.loads(out.getvalue())
    assert set(answer["period"]) >= {"p2_5", "p10", "p50", "p90", "p97_5"}
    out = io.StringIO()
    call_command("backtest", json=True, months=1, stdout=out)
    verdict = json.loads(out.getvalue())
    assert {"7", "14", "coverage80", "coverage95", "series", "origins", "shown"} <= set(verdict)
    assert set(verdict["7"]["bets"]) == {"mase", "ape_median"}
    with pytest.raises(CommandError, match="forecast --fit"):
        call_command("forecast", scope="team=nobody")


def test_a_night_is_fitted_once(spending, monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    nightly()
    nightly()
    assert ForecastRun.objects.count() == 2
    assert ForecastVerdict.objects.count() == 1
    assert TaskRun.objects.get(task="governance.fit_forecasts").state == TaskRun.State.DONE


def test_without_figures_the_night_is_not_used_up(lake_root, db):
    nightly()
    assert not TaskRun.objects.exists()


def test_errors_of_forecasts_that_were_shown_are_in_the_verdict(spending):
    # Fitted as on 1 May, with the figures of then; the days since are known now.
    forecast_fits.fit_forecasts(datetime(2026, 5, 1, 2, tzinfo=UTC))
    assert KeptForecast.objects.exists()
    forecast_fits.judge_forecasts(NOW)
    shown = forecasts.newest_verdict("USD").result["shown"]
    assert shown["forecasts"] > 0
    assert shown["horizons"]["7"]["ape_median"] < 0.02
