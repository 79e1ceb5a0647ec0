"""The Forecasts page as each persona meets it."""

from collections.abc import Callable

import pytest
from django.test import Client

from governance import forecast_fits
from governance.models import ForecastEvent
from tests.governance.forecasting.conftest import NOW

pytestmark = pytest.mark.django_db
FORM = {"kind": "price_change", "title": "Claude is cheaper", "starts_on": "2026-06-01", "percent": "-20"}


def test_without_a_fit_it_says_what_makes_one(lake_root, browse):
    text = browse("owner").get("/forecasts").content.decode()
    assert "No forecast yet" in text
    assert "nothing was judged yet" in text


def test_each_reader_sees_forecasts_of_their_own_only(spending, company, browse: Callable[[str], Client]):
    forecast_fits.fit_forecasts(NOW)
    forecast_fits.judge_forecasts(NOW, months=1)
    owner = browse("owner").get("/forecasts").content.decode()
    assert "All spend" in owner
    assert "Labs" in owner
    assert "Koku" in owner
    lead = browse("lead").get("/forecasts").content.decode()
    assert "All spend" not in lead
    assert "Labs" not in lead
    assert "Search" in lead
    # Asking for another team's shows one's own.
    asked = browse("lead").get("/forecasts?scope=team=labs").content.decode()
    assert "Labs" not in asked
    assert browse("outsider").get("/forecasts").status_code in (200, 403)


def test_a_lead_says_an_event_for_a_team_and_withdraws_it(spending, company, browse):
    lead = browse("lead")
    answer = lead.post("/forecasts/events", {**FORM, "team": "search", "model": "claude"})
    assert answer.status_code == 302
    made = ForecastEvent.objects.get()
    assert (made.factor_ppm, made.dims, made.team) == (800_000, [["model", "claude"], ["team", "search"]], "search")
    text = lead.get("/forecasts?done=said").content.decode()
    assert "Claude is cheaper" in text
    assert "price -20 %" in text
    assert "Claude is cheaper" not in browse("other_lead").get("/forecasts").content.decode()
    assert browse("other_lead").post(f"/forecasts/events/{made.pk}/withdraw", {"version": 1}).status_code == 404
    assert lead.post(f"/forecasts/events/{made.pk}/withdraw", {"version": 1}).status_code == 302
    made.refresh_from_db()
    assert made.withdrawn_at is not None


def test_what_is_wrong_is_said_at_its_field(company, lake_root, browse):
    answer = browse("owner").post("/forecasts/events", {**FORM, "percent": ""})
    assert answer.status_code == 400
    assert "It says no change" in answer.content.decode()
    assert not ForecastEvent.objects.exists()


def test_who_may_not_say_events_has_no_form(company, lake_root, browse):
    assert "Say what is coming" not in browse("member").get("/forecasts").content.decode()
    assert browse("member").post("/forecasts/events", {**FORM, "team": "search"}).status_code in (400, 403)
    assert not ForecastEvent.objects.exists()
