"""The same attribution as a capable pandas user would write it: frames, groupby, merge.

Two ways: from the raw rows, all at once, as pandas keeps no lake; and from our lake, a day at a time.
It knows this load's rules only (tags, tolerance, unmetered, bypass, other services) and no others, so it does less than
the product.
"""

from decimal import Decimal

import numpy as np
import pandas as pd

from tests.benchmarks.attribution_load import METERS, MODELS, Load, rates, series_facts

UNIT = 10**18
BUCKETS = [bucket for bucket, _ in METERS]
PLACE = ["day", "sub_account_id", "region", "model"]
OWNER = ["team", "project", "api_key"]
COSTS = ["billed_cost", "effective_cost", "list_cost", "contracted_cost", "pricing_quantity"]


def attribute(load: Load, *, raw: bool) -> pd.DataFrame:
    """The ledger's compared columns. raw: from the raw rows, with their duplicates; else from REQUESTS and SERIES."""
    hourly = _hourly_of_raw(load) if raw else _hourly_of_lake(load)
    usage, _ = _usage(hourly)
    cells = _cells(load)
    other = cells[cells["model"].isna()].assign(
        method="unattributed", reason="other_scope", team=None, project=None, api_key=None
    )
    ai = cells[cells["model"].notna()]
    direct = ai[ai["team"].notna()].assign(method="direct", reason=None, api_key=None)
    pools = ai[ai["team"].isna()].drop(columns=["team", "project"])
    shared = _split(pools, usage)
    frame = pd.concat([other, direct, shared], ignore_index=True)
    frame = frame.rename(columns={"pricing_quantity": "billed_quantity"})
    for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost", "billed_quantity"):
        frame[name] = [Decimal(value).scaleb(-18) for value in frame[name]]
    return frame.astype(object).where(frame.notna(), None)


def _hourly_of_raw(load: Load) -> pd.DataFrame:
    """Deduplicated, estimated and summed to the hour, with what the series says."""
    columns = [
        "day",
        "request_key",
        "completed_at",
        "series",
        "requests",
        *BUCKETS,
        "cache_write_1h",
        "reasoning",
        "error",
    ]
    requests = pd.concat([pd.read_parquet(load.raw(day), columns=columns) for day in load.days], ignore_index=True)
    requests = requests.drop_duplicates(["day", "request_key"])
    facts = series_facts().to_pandas()
    prices = rates().to_pandas().pivot(index="model", columns="bucket", values="nano_per_thousand")
    # Dollars of one token in units of 1e-12; whole numbers, so that sums are exact.
    requests["estimated_cost"] = 0
    for bucket in BUCKETS:
        price = facts["model"].map(prices[bucket]).to_numpy()
        requests["estimated_cost"] += requests[bucket] * price[requests["series"].to_numpy()]
    requests["hour"] = requests["completed_at"].dt.floor("h")
    sums = ["requests", *BUCKETS, "cache_write_1h", "reasoning", "error", "estimated_cost"]
    hourly = requests.groupby(["day", "hour", "series"], sort=False)[sums].sum().reset_index()
    return hourly.merge(facts, on="series")


def _hourly_of_lake(load: Load) -> pd.DataFrame:
    sums = ["requests", *BUCKETS, "cache_write_1h", "reasoning", "error", "estimated_cost"]
    hourly = []
    for day in load.days:
        requests = pd.read_parquet(load.made("requests", day), columns=["completed_at", "series_id", *sums])
        requests["hour"] = requests["completed_at"].dt.floor("h")
        of_day = requests.groupby(["hour", "series_id"], sort=False)[sums].sum().reset_index()
        hourly.append(of_day.merge(pd.read_parquet(load.made("series", day)), on="series_id").assign(day=day))
    return pd.concat(hourly, ignore_index=True)


def _usage(hourly: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tokens by place, bucket and owner; and the owned usage with its estimate, which the product makes as well."""
    by = [*PLACE, *OWNER]
    owned = hourly.groupby(by, dropna=False, sort=False)[[*BUCKETS, "estimated_cost"]].sum().reset_index()
    tokens = owned.melt(by, BUCKETS, "token_type", "tokens")
    return tokens[tokens["tokens"] > 0], owned


def _cells(load: Load) -> pd.DataFrame:
    """Bill lines summed to the day, in whole units, with what their meter says."""
    columns = ["day", "sub_account_id", "region_id", "service_name", "sku_meter", "tags", *COSTS]
    lines = pd.concat([pd.read_parquet(load.charges(day), columns=columns) for day in load.days], ignore_index=True)
    keys = ["day", "sub_account_id", "region_id", "service_name", "sku_meter", "tags"]
    cells = lines.groupby(keys, dropna=False, sort=False)[COSTS].sum().reset_index()
    for name in COSTS:
        cells[name] = [int(value.scaleb(18)) for value in cells[name]]
    meters = {f"{name}-{suffix}": (slug, bucket) for name, slug, _ in MODELS for bucket, suffix in METERS}
    found = [meters.get(meter.partition("-")[2], (None, None)) for meter in cells["sku_meter"]]
    cells["model"], cells["token_type"] = [model for model, _ in found], [bucket for _, bucket in found]
    tagged = cells["tags"].notna()
    cells["team"] = np.where(tagged, "team-8", None)
    cells["project"] = np.where(tagged, "project-20", None)
    cells = cells.rename(columns={"region_id": "region", "service_name": "service"})
    by = ["day", "sub_account_id", "region", "service", "model", "token_type", "team", "project"]
    return cells.groupby(by, dropna=False, sort=False)[COSTS].sum().reset_index()


def _split(pools: pd.DataFrame, usage: pd.DataFrame) -> pd.DataFrame:
    keys = [*PLACE, "token_type"]
    total = usage.groupby(keys, sort=False)["tokens"].sum().rename("metered").reset_index()
    pools = pools.merge(total, on=keys, how="left")
    bypass = pools[pools["metered"].isna()].assign(
        method="unattributed", reason="bypass", team=None, project=None, api_key=None
    )
    pools = pools[pools["metered"].notna()].copy()
    pools["billed"] = [round(quantity * 1000 / UNIT) for quantity in pools["pricing_quantity"]]
    pools["metered"] = pools["metered"].astype("int64")
    close = (pools["billed"] - pools["metered"]).abs() * 1_000_000 <= 10_000 * pools["billed"]
    pools["verdict"] = np.where(close, "close", np.where(pools["billed"] > pools["metered"], "unmetered", "over"))
    owners = usage.merge(pools, on=keys)
    nobody = owners["team"].isna()
    owners["method"] = np.where(
        nobody, "unattributed", np.where(owners["verdict"] == "over", "over_metered", "token_share")
    )
    owners["reason"] = np.where(nobody, "unowned", None)
    gap = pools[pools["verdict"] == "unmetered"].copy()
    gap["tokens"] = gap["billed"] - gap["metered"]
    gap = gap.assign(team=None, project=None, api_key=None, method="unattributed", reason="unmetered")
    parts = pd.concat([owners, gap], ignore_index=True)
    order = [parts[name].fillna("") for name in (*OWNER, "method", "reason")]
    parts = parts.assign(**{f"by_{place}": column for place, column in enumerate(order)})
    parts = parts.sort_values([*keys, *(f"by_{place}" for place in range(len(order)))], kind="stable")
    parts["upto"] = parts.groupby(keys, sort=False)["tokens"].cumsum()
    parts["whole"] = parts.groupby(keys, sort=False)["tokens"].transform("sum")
    weight, upto, whole = (parts[name].astype(object) for name in ("tokens", "upto", "whole"))
    for name in COSTS:
        amount = parts[name].astype(object)
        parts[name] = amount * upto // whole - amount * (upto - weight) // whole
    return pd.concat([parts, bypass], ignore_index=True)
