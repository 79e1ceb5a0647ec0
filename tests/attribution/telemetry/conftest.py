"""A small price book, so that no test seeds the whole public list."""

from decimal import Decimal

import pytest

from attribution.models import Price

# USD per million tokens.
PRICES = {
    ("aws", "claude-sonnet-4.5", "", "standard", 0): {"input_uncached": "3.3", "cache_read": "0.33", "output": "16.5"},
    ("anthropic", "claude-sonnet-4.5", "", "standard", 0): {
        "input_uncached": "3",
        "cache_read": "0.3",
        "cache_write_5m": "3.75",
        "cache_write_1h": "6",
        "output": "15",
    },
    ("gcp", "gemini-2.5-pro", "", "standard", 0): {"input_uncached": "1.25", "cache_read": "0.125", "output": "10"},
    ("gcp", "gemini-2.5-pro", "", "standard", 200_001): {
        "input_uncached": "2.5",
        "cache_read": "0.25",
        "output": "15",
    },
    ("openai", "gpt-5", "", "standard", 0): {"input_uncached": "1.25", "cache_read": "0.125", "output": "10"},
    ("openai", "gpt-5", "", "batch", 0): {"input_uncached": "0.625", "cache_read": "0.0625", "output": "5"},
    ("openai", "text-embedding-3-large", "", "standard", 0): {"input_uncached": "0.13"},
}


@pytest.fixture
def book(db) -> None:
    Price.objects.bulk_create(
        [
            Price(
                provider=provider,
                model=model,
                routing=routing,
                tier=tier,
                context_from=context_from,
                token_type=token_type,
                usd_per_token=Decimal(usd).scaleb(-6),
                source="list",
                version="1",
            )
            for (provider, model, routing, tier, context_from), rates in PRICES.items()
            for token_type, usd in rates.items()
        ]
    )
