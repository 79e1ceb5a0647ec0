"""The pages on figures that can be added by hand: 8 of team ml, 4 of sales, 2 without an owner, 1.50 estimated."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from attribution.lake.serving import build_serving_file
from attribution.models import Team
from governance.identity import services
from governance.models import Role, User
from tests.attribution.serving_lake import publish_lake, rollup, usage

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)
MAY = "/?period=custom&from=2026-05-01&to=2026-05-31"

Visit = Callable[..., str]


@pytest.fixture
def figures(lake_root: object) -> None:
    rows = [
        rollup("2026-05-01", "5", team="ml", project="search", metered_tokens=1_000_000),
        rollup("2026-05-02", "3.000000000000000001", team="ml", metered_tokens=500_000),
        rollup("2026-05-02", "4", team="sales", provider="azure", billing_account_id="222", model="gpt-5"),
        rollup("2026-05-02", "2", method="unattributed", reason="bypass"),
        rollup("2026-05-03", "900", charge_scope="other", model=None, method="unattributed", reason="other_scope"),
    ]
    publish_lake(
        rows,
        [usage("2026-05-04", "ml", "1.5")],
        billed_through={("aws", "111"): "2026-05-04", ("azure", "222"): "2026-05-04"},
    )
    build_serving_file()


def person(role: Role, team: Team | None = None) -> User:
    return services.create_person(email=f"{role.value}@example.org", name="Ada", role=role, team=team, now=START)


@pytest.fixture
def visit(client: Client) -> Visit:
    """Opens an address as an owner and gives back the page's text, tags and runs of space taken out."""
    client.force_login(person(Role.OWNER))

    def opened(address: str) -> str:
        response = client.get(address)
        assert response.status_code == 200
        return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())

    return opened


def test_the_tiles_say_spend_estimate_share_and_tokens(figures: None, visit: Visit) -> None:
    page = visit(MAY)

    # 5 + 3 + 4 + 2 + 1.50; the 900 of the other cloud are in no figure of inference.
    assert "Spend to date $15.50 USD nothing known for 1–30 Apr" in page
    assert "Estimated part $1.50 USD 9.7 % of spend" in page
    # 12 of 14 billed.
    assert "Attributed share 85.71 %" in page
    assert "$2.00 without an owner" in page
    assert "Tokens 1.500 million" in page


def test_the_exact_amount_stands_in_the_title(figures: None, client: Client) -> None:
    client.force_login(person(Role.OWNER))
    page = client.get(MAY).content.decode()

    assert 'title="15.500000000000000001 USD">$15.50<' in page
    assert 'title="15.500000000000000001 USD">15.50<' in page


def test_a_change_is_in_words_with_the_dates_it_is_against(lake_root: object, visit: Visit) -> None:
    rows = [rollup("2026-04-10", "10", team="ml", billing_period="2026-04"), rollup("2026-05-10", "12", team="ml")]
    publish_lake(rows, billed_through={("aws", "111"): "2026-06-01"})
    build_serving_file()

    assert "Spend to date $12.00 USD +20.0 % vs $10.00 in 1–30 Apr" in visit(MAY)
    assert "vs $10.00" not in visit(MAY + "&compare=none")


def test_unattributed_is_told_by_reason_and_adds_up(figures: None, visit: Visit) -> None:
    page = visit(MAY)
    assert re.search(r"With an owner 12\.00 85\.71 %.*No telemetry 2\.00 14\.29 %.*Settled 14\.00", page)


def test_currencies_never_meet_and_the_other_is_one_click_away(lake_root: object, visit: Visit) -> None:
    rows = [rollup("2026-05-01", "7", team="ml"), rollup("2026-05-01", "9", team="ml", currency="EUR")]
    publish_lake(rows, billed_through={("aws", "111"): "2026-06-01"})
    build_serving_file()

    assert "Spend to date $7.00" in visit(MAY)
    assert "there are also costs in EUR" in visit(MAY)
    assert "Spend to date €9.00 EUR" in visit(MAY + "&filter[currency]=EUR")


def test_an_unknown_basis_is_a_dash_and_says_how_much_it_leaves_out(lake_root: object, visit: Visit) -> None:
    publish_lake([rollup("2026-05-01", None, team="ml")], billed_through={("aws", "111"): "2026-06-01"})
    build_serving_file()

    page = visit(MAY + "&basis=list")
    assert "Spend to date – USD" in page
    assert "1 ledger part left out: the bill does not say its list cost." in page


def test_a_lead_sees_nothing_of_other_teams(figures: None, client: Client) -> None:
    ml = Team.objects.create(slug="ml", name="Machine Learning")
    client.force_login(person(Role.LEAD, ml))
    page = client.get(MAY + "&group_by=team").content.decode()

    assert "Machine Learning" in page
    assert "$9.50" in page
    for hidden in ("sales", "Attributed share", "No telemetry", "15.50", 'href="/data"'):
        assert hidden not in page
    assert client.get("/data").status_code == 403
    assert "sales" not in client.get("/overview.csv?period=custom&from=2026-05-01&to=2026-05-31").getvalue().decode()
    assert "sales" not in client.get("/filters?period=custom&from=2026-05-01&to=2026-05-31").content.decode()


def test_strangers_are_sent_to_sign_in(client: Client) -> None:
    for address in ("/", "/data", "/overview.csv", "/filters"):
        response = client.get(address)
        assert response.status_code == 302
        assert response.headers["Location"].startswith("/sign-in?next=")


def test_pages_ask_the_database_a_fixed_number_of_questions(
    figures: None, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(person(Role.OWNER))
    client.get(MAY)
    for address, most in ((MAY, 36), (MAY + "&group_by=team", 38), ("/data", 32)):
        with django_assert_max_num_queries(most):
            assert client.get(address).status_code == 200


def test_the_export_is_exact_and_holds_no_formula(lake_root: object, client: Client) -> None:
    publish_lake(
        [rollup("2026-05-01", "3.000000000000000001", team="=cmd|' /C calc'!A0")],
        billed_through={("aws", "111"): "2026-06-01"},
    )
    build_serving_file()
    client.force_login(person(Role.OWNER))
    response = client.get("/overview.csv?period=custom&from=2026-05-01&to=2026-05-31&group_by=team")
    lines = response.getvalue().decode().splitlines()

    assert lines[0].split(",")[:6] == ["start", "end", "basis", "team", "currency", "total"]
    assert lines[1].startswith("2026-05-01,2026-06-01,effective,'=cmd|' /C calc'!A0,USD,3.000000000000000001,")


def test_a_fresh_install_says_what_to_do_first(lake_root: object, visit: Visit) -> None:
    page = visit("/")
    assert "Three steps lead to the first figures." in page
    assert "manage.py ingest billing PATH..." in page
    assert "Nothing has come in yet" in visit("/data")


def test_an_empty_period_leads_back_to_figures(figures: None, visit: Visit) -> None:
    page = visit("/?period=custom&from=2025-01-01&to=2025-01-31")
    assert "No cost in 1–31 Jan 2025" in page
    assert "Show May 2026" in page


def test_the_theme_is_a_cookie_and_never_leads_elsewhere(client: Client) -> None:
    response = client.post("/theme", {"theme": "dark", "next": "https://elsewhere.example/"})
    assert response.headers["Location"] == "/"
    assert client.cookies["weir_theme"].value == "dark"
    assert 'data-theme="dark"' in client.get("/sign-in").content.decode()
    client.post("/theme", {"theme": "purple"})
    assert "data-theme" not in client.get("/sign-in").content.decode()


def test_every_answer_has_an_id_and_a_sane_one_is_kept(client: Client) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", client.get("/sign-in").headers["X-Request-Id"])
    assert client.get("/sign-in", headers={"X-Request-Id": "proxy-1234"}).headers["X-Request-Id"] == "proxy-1234"
    assert "<" not in client.get("/sign-in", headers={"X-Request-Id": "<b>12345678"}).headers["X-Request-Id"]


def test_a_failure_gives_its_number_and_no_secret(
    client: Client, monkeypatch: pytest.MonkeyPatch, lake_root: object
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("attribution.selectors.freshness", broken)
    client.force_login(person(Role.OWNER))
    client.raise_request_exception = False
    response = client.get("/")

    assert response.status_code == 500
    assert response.headers["X-Request-Id"] in response.content.decode()
    assert "secret detail" not in response.content.decode()
