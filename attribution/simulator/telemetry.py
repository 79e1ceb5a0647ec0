"""The telemetry of a day as Weir's NDJSON (docs/telemetry.md): what the company's gateway saw, and its habits.

A few records come twice, a few calls fail without usage, embeddings come as hourly buckets, busy services as many
buckets of a quarter of an hour, Bedrock counts input
without cache, Gemini counts output without reasoning.
"""

import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import msgspec

from attribution.simulator.bills.aws import profile_arn
from attribution.simulator.bills.lines import instant
from attribution.simulator.company import Company, Offer
from attribution.simulator.traffic import Request

_BUCKETED = "embed-large"
_SPAN = 900  # seconds of a line that counts many requests


def day_file(company: Company, day: date, requests: Iterable[Request]) -> bytes:
    """One day's records, gzipped; equal bytes for equal requests."""
    encode = msgspec.json.Encoder(order="deterministic").encode
    buffer = BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=3, mtime=0, filename="") as file:
        for record in records(company, day, requests):
            file.write(encode(record) + b"\n")
    return buffer.getvalue()


def records(company: Company, day: date, requests: Iterable[Request]) -> Iterator[dict[str, Any]]:
    buckets: dict[tuple[str, str, int], list[Request]] = defaultdict(list)
    for request in sorted(requests, key=lambda request: (request.second, request.id)):
        if request.offer.id == _BUCKETED:
            buckets[request.project.slug, request.environment, request.second // 3600].append(request)
            continue
        record = _place(company, request) | _usage(request)
        record |= (
            {
                "request_id": request.id,
                "completed_at": f"{instant(day, request.second):%Y-%m-%dT%H:%M:%SZ}",
                "latency_ms": request.latency_ms,
            }
            if request.calls == 1
            else _many(day, request)
        )
        yield record
        if request.id.endswith("77"):  # delivered twice
            yield record
    for (_, _, hour), members in sorted(buckets.items()):
        yield _bucket(company, day, hour, members)


def _many(day: date, request: Request) -> dict[str, Any]:
    """A quarter of an hour of one gateway's requests; long contexts are counted apart, since they cost more."""
    start = instant(day, request.second // _SPAN * _SPAN)
    return {
        "request_id": request.id,
        "bucket_start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "bucket_end": f"{start + timedelta(seconds=_SPAN):%Y-%m-%dT%H:%M:%SZ}",
        "requests": request.calls,
        "context_band": "long" if request.band else "base",
    }


def _place(company: Company, request: Request) -> dict[str, Any]:
    offer, project = request.offer, request.project
    account = company.accounts[offer.provider]
    sub_account = account.sub_accounts[project.unit][0]
    record: dict[str, Any] = {
        "provider": offer.provider,
        "endpoint": _endpoint(offer, request, sub_account),
        "billing_account_id": account.billing,
        "sub_account_id": sub_account,
        "region": offer.region,
        "routing": offer.routing,
        "tier": offer.tier,
        "request_model": offer.request_model,
        "environment": request.environment,
    }
    for field in offer.unsaid:
        del record[field]
    if offer.pool:
        record["pool"] = offer.pool
    if project.unowned:
        # A shared key that was never registered: the gateway knows it, and nothing else.
        record |= {"api_key": "shared-notebooks", "service": "notebooks"}
    else:
        key = f"{project.slug}-{request.environment[:4]}"
        record |= {"team": project.team, "project": project.slug, "api_key": key, "service": project.slug}
    return record


def _endpoint(offer: Offer, request: Request, sub_account: str) -> str:
    if request.use.resource and offer.provider == "aws":
        return profile_arn(sub_account, offer.region, request.use.resource)
    if offer.provider == "azure":
        return request.use.resource or offer.pool or f"oai-{request.project.unit}-{offer.region}/{offer.model}"
    return offer.pool or offer.request_model


def _usage(request: Request) -> dict[str, Any]:
    if request.failed:
        return {"error": "upstream timeout"}
    return _counts(request.offer, request.tokens, request.reasoning)


def _counts(offer: Offer, tokens: Iterable[int], reasoning: int) -> dict[str, Any]:
    uncached, read, write5, write1h, output = tokens
    usage: dict[str, Any] = {"output_tokens": output}
    if offer.provider == "aws" and not offer.pool:
        usage |= {"input_tokens": uncached, "input_includes_cache": False}
    else:
        usage["input_tokens"] = uncached + read + write5 + write1h
    if offer.bands[0].list_prices[1] is not None:
        usage["cache_read_input_tokens"] = read
    if offer.bands[0].list_prices[2] is not None:
        usage |= {"cache_creation_5m_input_tokens": write5, "cache_creation_1h_input_tokens": write1h}
    if reasoning:
        usage["reasoning_output_tokens"] = reasoning
    if offer.provider == "gcp":
        usage |= {"output_tokens": output - reasoning, "output_includes_reasoning": False}
    return usage


def _bucket(company: Company, day: date, hour: int, members: list[Request]) -> dict[str, Any]:
    """An hour of one project's embeddings; failed calls count as requests without tokens."""
    first, offer = members[0], members[0].offer
    sums = [sum(request.tokens[bucket] for request in members if not request.failed) for bucket in range(5)]
    record = _place(company, first)
    record |= {
        "bucket_start": f"{instant(day, hour * 3600):%Y-%m-%dT%H:%M:%SZ}",
        "bucket_end": f"{instant(day, hour * 3600) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
        "requests": sum(request.calls for request in members),
        "context_band": "base",
        "input_tokens": sum(sums),
    }
    return record | ({} if offer.bands[0].list_prices[4] is None else {"output_tokens": sums[4]})
