"""The API keeps what its OpenAPI document says, for requests that fit it and for those that don't."""

from io import StringIO
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, settings

from attribution.lake.serving import build_serving_file
from governance.identity import services
from governance.models import Role
from tests.attribution.serving_lake import publish_lake, rollup

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("lake_root")]

schema = schemathesis.pytest.from_fixture("document")


@pytest.fixture
def document(lake_root: object, db: None) -> Any:
    publish_lake(
        [rollup("2026-05-01", "1.5", team="ml", metered_tokens=10), rollup("2026-05-02", "2", method="unattributed")],
        billed_through={("aws", "111"): "2026-06-01"},
    )
    build_serving_file()
    return schemathesis.openapi.from_wsgi("/api/schema", get_wsgi_application())


@pytest.fixture
def secret(db: None) -> str:
    owner = services.create_person(email="o@example.org", name="O", role=Role.OWNER, now=timezone.now())
    return services.issue_token(owner, name="contract").secret


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: Any, secret: str) -> None:
    # Left out: a period that ends before it starts fits the document and is refused all the same.
    case.call_and_validate(
        headers={"Authorization": f"Bearer {secret}"},
        excluded_checks=[schemathesis.checks.positive_data_acceptance],
    )


def test_the_document_is_valid_openapi_3_1_without_a_warning() -> None:
    out = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)

    assert out.getvalue().startswith("openapi: 3.1.1\n")


def test_the_document_and_its_page_are_public_and_served_from_here(client: Client) -> None:
    assert client.get("/api/schema").status_code == 200
    page = client.get("/api/docs").content.decode()
    assert "://" not in page
    assert "<script>" not in page
