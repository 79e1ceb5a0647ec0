"""The dense rows that events become, and the limits of what counts. No logic."""

from datetime import UTC, datetime

import pyarrow as pa

from attribution.lake.schemas import TEXT, TIME, TOKENS

# Dense rows between parsing and the lake. `series` is an index into Normalizer.series, good for one run.
INCOMING = pa.schema(
    [
        ("day", pa.date32()),
        ("request_key", TEXT),
        ("completed_at", TIME),
        ("series", pa.int32()),
        ("requests", TOKENS),
        ("input_uncached", TOKENS),
        ("cache_read", TOKENS),
        ("cache_write_5m", TOKENS),
        ("cache_write_1h", TOKENS),
        ("output", TOKENS),
        ("reasoning", TOKENS),
        ("latency_ms", TOKENS),
        ("ttft_ms", TOKENS),
        ("error", pa.bool_()),
        ("context_band", TEXT),  # of a bucket whose source splits usage by context length; a request's is its own
    ]
)

# Completion times: [EARLIEST, LATEST).
EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
MAX_COUNT = 10**12  # tokens of one record; more is a broken counter, and money would overflow
MAX_KEY = 512
