"""The demo's bills are read as what the simulator meant; the two share no code, only the names that providers use."""

from decimal import Decimal

import pytest

from attribution.recognition.meters import Meter, recognize
from attribution.recognition.models import normalize_model
from attribution.simulator.company import BUCKETS, Band, Offer, company

SERVICES = {"azure": ("Foundry Models", "Foundry Models"), "gcp": ("Vertex AI", "C7E2-9256-1C43")}
OFFERS = [offer for offer in company().offers.values() if not offer.pool]


def meter(offer: Offer, name: str) -> Meter:
    service, code = SERVICES.get(offer.provider, (offer.product, "AmazonBedrock"))
    kind = offer.product if offer.provider == "azure" else None
    return Meter(offer.provider, service, code, kind, name, None, offer.unit, "Usage")


def meters(offer: Offer) -> list[tuple[Band, str, str]]:
    found = [(band, name, BUCKETS[place]) for band in offer.bands for place, name in enumerate(band.meters) if name]
    return found + [(band, band.thinking_meter, "output") for band in offer.bands if band.thinking_meter]


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.id)
def test_every_simulated_meter_is_understood(offer: Offer) -> None:
    for band, name, token_type in meters(offer):
        found = recognize(meter(offer, name))
        assert found.understood, name
        assert (found.model, found.token_type, found.tier) == (offer.model, token_type, offer.tier), name
        assert found.context_band == band.name, name
        assert found.tokens_per_unit == Decimal(offer.tokens_per_unit), name
        # Google's names don't say where a call was served.
        assert found.routing == (None if offer.provider == "gcp" else offer.routing), name


@pytest.mark.parametrize("offer", company().offers.values(), ids=lambda offer: offer.id)
def test_telemetry_and_bill_name_one_model(offer: Offer) -> None:
    named = normalize_model(offer.request_model, offer.provider)
    assert named is not None
    assert named.slug == offer.model
