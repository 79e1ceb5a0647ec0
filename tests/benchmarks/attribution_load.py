"""The load of the attribution's benchmark: raw requests with 1 % duplicates, their series, and bills to match.

One provider and one month: 20 projects of 8 teams in three sub accounts, 12 models, three regions; one tagged sub
account; some keys that no rule knows; days on which telemetry misses a model; lines of services that are no inference.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

FIRST = date(2026, 5, 1)
# (days, requests)
SIZES = {"small": (4, 400_000), "full": (31, 10_000_000)}
# Meter's name, slug, dollars per million tokens: input, cache read, cache write, output.
MODELS = (
    ("Claude4.5Sonnet", "claude-sonnet-4.5", (3, 0.3, 3.75, 15)),
    ("Claude4.5Haiku", "claude-haiku-4.5", (1, 0.1, 1.25, 5)),
    ("Claude4.1Opus", "claude-opus-4.1", (15, 1.5, 18.75, 75)),
    ("Claude4Sonnet", "claude-sonnet-4", (3, 0.3, 3.75, 15)),
    ("Claude3.5Sonnet", "claude-3.5-sonnet", (3, 0.3, 3.75, 15)),
    ("Claude3Haiku", "claude-3-haiku", (0.25, 0.03, 0.3, 1.25)),
    ("NovaPro", "nova-pro", (0.8, 0.2, 0.8, 3.2)),
    ("NovaLite", "nova-lite", (0.06, 0.015, 0.06, 0.24)),
    ("NovaMicro", "nova-micro", (0.035, 0.00875, 0.035, 0.14)),
    ("Llama3.3-70B", "llama-3.3-70b", (0.72, 0.72, 0.72, 0.72)),
    ("MistralLarge", "mistral-large", (4, 4, 4, 12)),
    ("DeepSeek-R1", "deepseek-r1", (1.35, 1.35, 1.35, 5.4)),
)
METERS = (
    ("input_uncached", "input-tokens"),
    ("cache_read", "cache-read-input-token-count"),
    ("cache_write_5m", "cache-write-input-token-count"),
    ("output", "output-tokens"),
)
REGIONS = (("us-east-1", "USE1"), ("us-west-2", "USW2"), ("eu-west-1", "EUW1"))


@dataclass(frozen=True)
class Load:
    """A folder with raw/, charges/ and series.parquet, and what is in them."""

    folder: Path
    days: list[date]
    requests: int

    def raw(self, day: date) -> Path:
        return self.folder / "raw" / f"{day}.parquet"

    def charges(self, day: date) -> Path:
        return self.folder / "charges" / f"{day}.parquet"

    def made(self, kind: str, day: date) -> Path:
        return self.folder / kind / f"{day}.parquet"


def load_of(folder: Path, size: str) -> Load:
    count, requests = SIZES[size]
    return Load(folder, [FIRST + timedelta(days=number) for number in range(count)], requests)


def series_facts() -> pa.Table:
    """Who calls what, from where: one row a series, the columns of SERIES without its number and price."""
    rows = list(_series())
    return pa.table(
        {
            "series": pa.array(range(len(rows)), pa.int32()),
            **{name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]},
        }
    )


def _series() -> Iterator[dict[str, str | None]]:
    for project in range(20):
        team = f"team-{project % 8}"
        for use in range(6):
            model = MODELS[(project * 5 + use * 7) % len(MODELS)][1]
            region = REGIONS[(project + use) % 3][0]
            for key in range(4):
                yield _one(f"sub-{project % 3}", region, model, team, f"project-{project}", f"key-{project}-{key}")
    for use in range(10):
        yield _one(f"sub-{use % 3}", REGIONS[use % 3][0], MODELS[use][1], None, None, f"notebook-{use}")
    for use in range(6):
        yield _one("sub-tagged", REGIONS[use % 3][0], MODELS[use * 2][1], "team-8", "project-20", f"key-20-{use}")


def _one(sub: str, region: str, model: str, team: str | None, project: str | None, key: str) -> dict[str, str | None]:
    return {
        "provider": "aws",
        "endpoint": f"{sub}/{model}",
        "billing_account_id": "payer",
        "sub_account_id": sub,
        "region": region,
        "routing": "regional",
        "tier": "standard",
        "model": model,
        "publisher": None,
        "pool": None,
        "team": team,
        "project": project,
        "environment": "production",
        "api_key": key,
        "principal": None,
        "service": project,
    }


def write(load: Load) -> int:
    """Writes the load; returns the number of bill lines."""
    for name in ("raw", "charges"):
        (load.folder / name).mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB"})
    connection.execute("set TimeZone = 'UTC'")
    connection.register("series", series_facts())
    connection.register("rates", rates())
    lines = 0
    for number, day in enumerate(load.days):
        connection.execute(_DAY, {"day": day, "number": number, "count": load.requests // len(load.days)})
        for query, path in ((_ARRIVED, load.raw(day)), (_BILLED, load.charges(day))):
            connection.execute(f"copy ({query}) to '{path}' (format parquet, compression zstd)")
        lines += connection.execute(f"select count(*) from '{load.charges(day)}'").fetchall()[0][0]
    connection.close()
    return lines


def rates() -> pa.Table:
    """(model, bucket) -> its meter's suffix and the price of a thousand tokens, in units of 1e-9 dollars."""
    rows = [
        (slug, bucket, f"{name}-{meter}", round(usd * 1_000_000))
        for name, slug, prices in MODELS
        for (bucket, meter), usd in zip(METERS, prices, strict=True)
    ]
    names = ("model", "bucket", "meter", "nano_per_thousand")
    return pa.table(dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True)))


# A day's requests as they were made. Hours follow a day's rhythm; a few series take most of the calls.
_DAY = """
create or replace temp table made as
with drawn as (
    select
        i, md5(concat($number, '-', i)) as request_key,
        hash(i, $number) as h0, hash(i, $number, 1) as h1, hash(i, $number, 2) as h2, hash(i, $number, 3) as h3
    from range($count) as r(i)
)
select
    cast($day as date) as day,
    request_key,
    cast(cast($day as timestamp) + to_microseconds(cast(i * (86399000000.0 / $count) as bigint)) as timestamp with time
    zone) as completed_at,
    cast(least((h0 % 1000) * (h1 % 1000) * 496 // 1000000, 495) as integer) as series,
    cast(1 as bigint) as requests,
    cast(20 + h1 % 3000 as bigint) as input_uncached,
    cast(case when h2 % 3 = 0 then h2 % 4000 else 0 end as bigint) as cache_read,
    cast(case when h3 % 10 = 0 then h3 % 2000 else 0 end as bigint) as cache_write_5m,
    cast(0 as bigint) as cache_write_1h,
    cast(1 + h2 % 900 as bigint) as output,
    cast(0 as bigint) as reasoning,
    cast(200 + h3 % 5000 as bigint) as latency_ms,
    cast(20 + h3 % 400 as bigint) as ttft_ms,
    h3 % 200 = 0 as error
from drawn
"""

# What reaches us: one in a hundred twice, and on some days one model not at all.
_ARRIVED = """
with reached as (
    select made.* from made inner join series on made.series = series.series
    where not (day(made.day) % 5 = 0 and series.model = 'nova-micro')
)
select *, cast(null as varchar) as context_band, cast(0 as integer) as file from reached
union all
select *, null, 0 from reached where hash(request_key) % 100 = 0
"""

# The bill: an hour, sub account, region and meter a line, in thousands of tokens; and the rest of the cloud.
_BILLED = """
with used as (
    select
        date_trunc('hour', made.completed_at) as hour, s.sub_account_id, s.region, s.model, b.bucket,
        sum(case b.bucket
            when 'input_uncached' then input_uncached when 'cache_read' then cache_read
            when 'cache_write_5m' then cache_write_5m else output end) as tokens
    from made
    inner join series as s on made.series = s.series
    cross join (select distinct bucket from rates) as b
    group by all
),
lines as (
    select
        hour, sub_account_id, used.region as region_id, 'Amazon Bedrock' as service_name, 'AmazonBedrock' as
        x_service_code, concat(case used.region when 'us-east-1' then 'USE1' when 'us-west-2' then 'USW2' else 'EUW1'
        end, '-', rates.meter) as sku_meter,
        cast(tokens as decimal(38, 3)) * cast(0.001 as decimal(4, 3)) as quantity, '1K tokens' as pricing_unit,
        cast(tokens * nano_per_thousand as decimal(26, 0)) * cast(0.000000000001 as decimal(12, 12)) as amount,
        case when sub_account_id = 'sub-tagged' then '{"project":"project-20","team":"team-8"}' end as tags
    from used inner join rates on used.model = rates.model and used.bucket = rates.bucket
    where tokens > 0
    union all
    select
        cast(cast((select min(day) from made) as timestamp) + to_hours(h) as timestamp with time zone), concat('sub-', i
        % 3), 'us-east-1', concat('Amazon S', i % 20), concat('AmazonS', i % 20), concat('Requests-Tier', i), 1,
        'Requests', cast(hash(i, h) % 100000 as decimal(26, 0)) * cast(0.000001 as decimal(6, 6)), null
    from range(200) as r(i), range(24) as hours(h)
)
select
    'cur' as scope, 'aws' as provider, 'payer' as billing_account_id, cast(null as varchar) as billing_account_name,
    sub_account_id, cast(null as varchar) as sub_account_name, strftime(hour, '%Y-%m') as billing_period,
    date_trunc('month', hour) as billing_period_start, date_trunc('month', hour) + interval 1 month as
    billing_period_end, hour as charge_period_start, hour + interval 1 hour as charge_period_end, cast(hour as date) as
    day, 'INV-1' as invoice_id, 'AWS' as invoice_issuer_name, cast(null as varchar) as publisher_name, 'USD' as
    billing_currency, cast(amount as decimal(38, 18)) as billed_cost, cast(amount as decimal(38, 18)) as effective_cost,
    cast(amount as decimal(38, 18)) as list_cost, cast(amount as decimal(38, 18)) as contracted_cost,
    'Usage' as charge_category, cast(null as varchar) as charge_class, cast(null as varchar) as charge_description,
    'Usage-Based' as charge_frequency, cast(null as varchar) as service_category, service_name, region_id,
    cast(null as varchar) as availability_zone, cast(null as varchar) as resource_id, cast(null as varchar) as
    resource_name, cast(null as varchar) as resource_type, cast(null as varchar) as sku_id, cast(null as varchar) as
    sku_price_id, sku_meter, 'Standard' as pricing_category, cast(quantity as decimal(38, 18)) as pricing_quantity,
    pricing_unit, cast(quantity as decimal(38, 18)) as consumed_quantity, pricing_unit as consumed_unit,
    cast(null as decimal(38, 18)) as list_unit_price, cast(null as decimal(38, 18)) as contracted_unit_price,
    cast(null as varchar) as commitment_discount_id, cast(null as varchar) as commitment_discount_type,
    cast(null as varchar) as commitment_discount_category, cast(null as varchar) as commitment_discount_status, tags,
    x_service_code, cast(null as varchar) as x_operation, 'AWS' as x_billing_entity, cast(null as varchar) as
    x_principal, 'Usage' as x_native_type, cast(null as varchar) as x_repairs
from lines
order by sku_meter, sub_account_id, hour
"""
