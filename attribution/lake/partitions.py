"""The key of a partition, its canonical text and its folder. Pure: no Django, no file is touched here.

Names of scopes and accounts come from outside: they hold slashes, spaces, any script, hundreds of characters, dots.
Here they become short ASCII path segments, injective for all practical purposes (a long name keeps a SHA-256 prefix).
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote

from attribution.vocabulary import Dataset

MAX_NAME = 300  # characters of a scope; of a billing account 200
MAX_TEXT = 800  # bytes of a key's text: PostgreSQL's index rows end at 2,704
_MAX_SEGMENT = 48
_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True)
class PartitionKey:
    """What one file of the lake holds; which parts a dataset uses is said in vocabulary.Dataset.

    scope: delivery scope, or telemetry source. billing_period: YYYY-MM of the document. day: UTC day.
    Raises ValueError for a part that cannot be stored.
    """

    dataset: Dataset
    scope: str = ""
    billing_account_id: str = ""
    billing_period: str = ""
    day: date | None = None
    provider: str = ""

    def __post_init__(self) -> None:
        for part, value, longest in (
            ("scope", self.scope, MAX_NAME),
            ("billing_account_id", self.billing_account_id, 200),
            ("provider", self.provider, 64),
        ):
            if len(value) > longest:
                raise ValueError(f"{part} has {len(value)} characters, more than {longest}: {value[:60]!r}...")
            if re.search("[\x00\ud800-\udfff]", value):
                raise ValueError(f"{part} holds a NUL or half a character: {value[:60]!r}")
        if self.billing_period and not _PERIOD.fullmatch(self.billing_period):
            raise ValueError(f"billing_period {self.billing_period!r} is not YYYY-MM")

    @property
    def text(self) -> str:
        """Canonical, the same for equal keys only; without the dataset. At most MAX_TEXT ASCII characters."""
        full = "&".join(f"{name}={_quoted(value)}" for name, value in self._parts())
        if len(full) <= MAX_TEXT:
            return full
        return "&".join(f"{name}={_shortened(value, 100)}" for name, value in self._parts())

    @property
    def name(self) -> str:
        """The key with its dataset: unique in the whole lake."""
        return f"{self.dataset}?{self.text}"

    @property
    def folder(self) -> str:
        """Where the partition's files live, below the lake's root.

        The day is part of the file's name instead: a delivery of a month then syncs one folder, not thirty-one.
        """
        segments = [f"{name}={_shortened(value, _MAX_SEGMENT)}" for name, value in self._parts() if name != "day"]
        return "/".join([str(self.dataset), *segments])

    def file_path(self, unique: str) -> str:
        """Path of one file of this partition, below the lake's root; at most 300 characters."""
        stem = f"{self.day.isoformat()}-{unique}" if self.day else unique
        return f"{self.folder}/{stem}.parquet"

    def _parts(self) -> list[tuple[str, str]]:
        parts = [
            ("provider", self.provider),
            ("scope", self.scope),
            ("account", self.billing_account_id),
            ("period", self.billing_period),
            ("day", self.day.isoformat() if self.day else ""),
        ]
        return [(name, value) for name, value in parts if value]


def _quoted(value: str) -> str:
    """Percent-encoded UTF-8: letters, digits and _.-~% only."""
    return quote(value, safe="")


def _shortened(value: str, longest: int) -> str:
    """The quoted value, or its beginning with a hash of the whole."""
    quoted = _quoted(value)
    if len(quoted) <= longest:
        return quoted
    digest = hashlib.sha256(value.encode()).hexdigest()[:16]
    # Never end inside a percent escape. A quoted value has no plus sign, so no other value looks like this.
    start = re.sub(r"%.?$", "", quoted[: longest - 17])
    return f"{start}+{digest}"
