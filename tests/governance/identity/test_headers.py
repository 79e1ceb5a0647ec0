"""Headers of every response."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

STRICT = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "address", ["/sign-in", "/first-run", "/api/v1/costs", "/api/nothing", "/static/js/api-docs.js"]
)
def test_every_response_has_the_strict_policy(client: Client, address: str) -> None:
    response = client.get(address)
    response.close()

    assert response.headers["Content-Security-Policy"] == STRICT


def test_pages_with_forms_are_not_kept_by_caches(client: Client) -> None:
    assert "no-store" in client.get("/sign-in").headers["Cache-Control"]
    assert "no-store" in client.get("/first-run").headers["Cache-Control"]


def test_pages_cannot_be_framed_sniffed_or_leak_their_address(client: Client) -> None:
    headers = client.get("/sign-in").headers

    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_only_the_api_page_is_relaxed_and_only_for_icons(client: Client) -> None:
    policy = client.get("/api/docs").headers["Content-Security-Policy"]

    assert policy == STRICT.replace("object-src", "img-src 'self' data:; object-src", 1)
