"""The closed lists of words that appear in the lake, on pages and in the API. Pure; no other module invents one."""

from enum import StrEnum


class ChargeScope(StrEnum):
    """What a bill line is to inference."""

    INFERENCE = "inference"
    PLATFORM = "platform"
    OTHER = "other"


class TokenType(StrEnum):
    """Disjoint token buckets, and the billed things that are not tokens. `reasoning` is a part of `output`."""

    INPUT_UNCACHED = "input_uncached"
    CACHE_READ = "cache_read"
    CACHE_WRITE_5M = "cache_write_5m"
    CACHE_WRITE_1H = "cache_write_1h"
    OUTPUT = "output"
    # Not tokens: hours of capacity (GPU instances, PTUs, model units), and requests or units of other meters.
    CAPACITY = "capacity"
    OTHER = "other"


TOKEN_BUCKETS = (
    TokenType.INPUT_UNCACHED,
    TokenType.CACHE_READ,
    TokenType.CACHE_WRITE_5M,
    TokenType.CACHE_WRITE_1H,
    TokenType.OUTPUT,
)


class Routing(StrEnum):
    """Where a provider may serve a call."""

    REGIONAL = "regional"
    ZONE = "zone"
    GLOBAL = "global"


class Tier(StrEnum):
    """Service tier of a call."""

    STANDARD = "standard"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"


class ContextBand(StrEnum):
    """Price band by the request's context length."""

    BASE = "base"
    LONG = "long"


class Method(StrEnum):
    """How a part of a charge got its owner (LEDGER: closed list)."""

    DIRECT = "direct"
    TOKEN_SHARE = "token_share"  # noqa: S105 - no password
    OVER_METERED = "over_metered"
    CAPACITY_SHARE = "capacity_share"
    PLATFORM_SHARE = "platform_share"
    MANUAL = "manual"
    UNATTRIBUTED = "unattributed"


class Reason(StrEnum):
    """Why a part is `unattributed`."""

    BYPASS = "bypass"
    UNMETERED = "unmetered"
    UNOWNED = "unowned"
    NOT_UNDERSTOOD = "not_understood"
    IDLE = "idle"
    COMMITMENT_UNUSED = "commitment_unused"
    OTHER_SCOPE = "other_scope"
    SHARED_UNASSIGNED = "shared_unassigned"


class Basis(StrEnum):
    """Which cost of a charge."""

    BILLED = "billed"
    EFFECTIVE = "effective"
    LIST = "list"
    CONTRACTED = "contracted"


class State(StrEnum):
    """How sure a ledger figure is."""

    ESTIMATED = "estimated"
    BILLED = "billed"
    FINAL = "final"
    RECONCILED = "reconciled"
    DISPUTED = "disputed"
    RESTATED = "restated"


class Dataset(StrEnum):
    """Datasets of the lake; `attribution.lake.schemas` has a schema for each."""

    # What a bill says: the FOCUS rows that attribution reads. A partition is (scope, account, period, day).
    CHARGES = "charges"
    # One side of a scope whose bill comes in two files (Azure actual and amortised), before CHARGES merges them.
    CHARGES_ACTUAL = "charges_actual"
    CHARGES_AMORTIZED = "charges_amortized"
    # Deduplicated requests and their series; the hourly mart made from them. One partition = (source, day).
    REQUESTS = "requests"
    SERIES = "series"
    USAGE_HOURLY = "usage_hourly"
    # Attributed parts. One partition = (scope, account, period, day), as CHARGES.
    LEDGER = "ledger"
    # Usage with its owner and its estimate. One partition = (provider, day).
    USAGE_OWNED = "usage_owned"
    # The daily cube that pages read. One partition = (scope, account, period).
    ROLLUP_DAILY = "rollup_daily"
