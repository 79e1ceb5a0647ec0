"""Model names: one slug for one model, whoever writes its name.

Bills and telemetry name one model in a dozen ways (`us.anthropic.claude-sonnet-4-5-20250929-v1:0`, `Claude4.5Sonnet`,
`Claude Sonnet 4.5 (Amazon Bedrock Edition)`); attribution joins them, so both sides go through `normalize_model`.
The names themselves are data: models.toml. Prices are not looked up here.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class ModelName:
    """`slug`: the model, without snapshot date, region and vendor. `publisher`: who made it; None if unknown."""

    slug: str
    publisher: str | None


@dataclass(frozen=True)
class _Family:
    publisher: str
    match: re.Pattern[str]
    slug: str
    keep_zero: frozenset[str]


@dataclass(frozen=True)
class _Catalogue:
    vendors: dict[str, str]
    restore: dict[str, str]
    makers: dict[str, str]
    spellings: tuple[tuple[re.Pattern[str], str], ...]
    exact: dict[str, str]
    families: tuple[_Family, ...]
    loose: tuple[_Family, ...]


@lru_cache(maxsize=1)
def _catalogue() -> _Catalogue:
    raw = tomllib.loads(files(__package__).joinpath("models.toml").read_text(encoding="utf-8"))
    return _Catalogue(
        vendors=raw["vendors"],
        restore=raw["restore"],
        makers=raw["makers"],
        spellings=tuple(
            (re.compile(rf"(?<![a-z0-9]){re.escape(torn)}(?![0-9])"), whole) for torn, whole in raw["spellings"].items()
        ),
        exact=raw["exact"],
        families=tuple(_family(entry) for entry in raw["family"]),
        loose=tuple(_family(entry) for entry in raw["loose"]),
    )


def _family(entry: dict[str, Any]) -> _Family:
    keep_zero = frozenset(entry.get("keep_zero", ()))
    return _Family(entry["publisher"], re.compile(entry["match"]), entry["slug"], keep_zero)


# Claude4.5Sonnet -> Claude4.5-Sonnet, NovaPro -> Nova-Pro; 405B and A22B stay whole.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=\d)(?=[A-Z][a-z])")
_EDITION = re.compile(r"\(amazon bedrock edition\)|\bon vertex ai\b", re.IGNORECASE)
_REGION = re.compile(r"^(?:us-gov|us|eu|apac|au|jp|in|ca|sa|me|af|global|regional)\.")
_HOST = re.compile(r"^(?:fw|fireworks)-(?=[a-z])")  # who serves it on Azure, not who made it
# 20250929, 2024-08-06, preview-09-2025
_DATES = re.compile(r"[-@](?:20[2-3]\d-?[01]\d-?[0-3]\d|(?:preview-)?[01]\d-20[2-3]\d)(?=$|[-:@])")
_AT_VERSION = re.compile(r"@[\w.-]*$")  # Vertex: @20250929, @default, @001
# Bedrock's own version of an id (-v1:0, -v2:0 after a date, -1:0) and its context variants (:0:200k). A bare -v2 or -v3
# is a part of the model's name (titan-embed-text-v2, embed-english-v3).
_DATED_VERSION = re.compile(r"(?<=-20\d{6})-v\d+(?::\d+)?(?::\w+)?$")
_VERSION_TAIL = re.compile(r"-v1(?::\d+(?::\w+)?)?$|(?<=\d)-1:\d+$|(?<=[a-z0-9]):\d+(?::\w+)?$")
_NOISE_TAIL = re.compile(r"-(?:preview|latest|instruct|maas|default|exp|experimental|customtools)$")
_BARE_VERSION = re.compile(r"\d(?:\.\d)?(?:-|$)")
_TORN_VERSION = re.compile(r"(?<![\d.])(\d)-(\d)(?=-|$)")  # jamba-1-5-large
_ROUNDS = 8
# No model's name is longer; what is comes from a caller's mistake, and patterns should not be tried on it.
_LONGEST = 200
_OPAQUE = ("application-inference-profile", "provisioned-model", "custom-model", "imported-model", "endpoint")


@lru_cache(maxsize=65536)
def normalize_model(name: str, provider: str | None = None) -> ModelName | None:
    """The model that `name` means, or None for an empty text.

    A name outside the catalogue gives a slug all the same, by cleaning, so that a bill and the telemetry of a new model
    still meet. `provider` (aws, azure, gcp, ...) settles dialects that are not unique: Azure's meters write `5.4 mini`.
    """
    if not name.strip():
        return None
    found = _read(name.strip(), provider)
    # A slug must be its own slug: what one reading uncovers, a second may still shorten.
    for _ in range(_ROUNDS):
        again = _read(found.slug, None)
        if again.slug == found.slug:
            break
        found = ModelName(again.slug, again.publisher or found.publisher)
    return found


def _read(text: str, provider: str | None) -> ModelName:
    last, vendor = _strip_path(text[-_LONGEST:])
    if last.startswith("ft:"):  # ft:gpt-4o-2024-08-06:acme::A1b2
        last = last.split(":")[1] + "-ft"
    cleaned, vendor = _clean(last, vendor)
    if not cleaned:
        return ModelName(_slugify(text) or _printable(text), vendor)
    if provider == "azure" and _BARE_VERSION.match(cleaned):
        cleaned = "gpt-" + cleaned
    return _from_catalogue(cleaned, vendor)


def _strip_path(text: str) -> tuple[str, str | None]:
    """The last part of a path or ARN, and the publisher that an earlier part names."""
    parts = [part for part in text.split("/") if part]
    if len(parts) < 2:
        return text, None
    kind = parts[-2].rsplit(":", 1)[-1]
    if kind.endswith(_OPAQUE):
        return f"{kind}-{parts[-1]}", None
    vendors = _catalogue().vendors
    known = [vendors[part.lower()] for part in parts[:-1] if part.lower() in vendors]
    return parts[-1], known[-1] if known else None


def _clean(text: str, vendor: str | None) -> tuple[str, str | None]:
    catalogue = _catalogue()
    text = _CAMEL.sub("-", _EDITION.sub("", text).strip()).lower()
    text = _REGION.sub("", text)
    prefix, dot, rest = text.partition(".")
    if dot and prefix in catalogue.vendors and rest:
        vendor = catalogue.vendors[prefix]
        restored = catalogue.restore.get(prefix, "")
        text = rest if not restored or rest.startswith(restored) else f"{restored}-{rest}"
    if text in catalogue.exact:
        return text, vendor
    text = _HOST.sub("", text)
    text = _slugify(_DATES.sub("", _DATED_VERSION.sub("", text.replace(" ", "-"))))
    for torn, whole in catalogue.spellings:
        text = torn.sub(whole, text)
    return text, vendor


def _slugify(text: str) -> str:
    text = re.sub(r"[^a-z0-9.:@+]+", "-", text.lower())
    return re.sub(r"-{2,}", "-", text).strip("-.:@")


def _printable(text: str) -> str:
    """What is left of a name without Latin letters or digits."""
    return "".join(letter for letter in text.lower() if letter.isprintable()).strip() or "unnamed"


def _from_catalogue(cleaned: str, vendor: str | None) -> ModelName:
    catalogue = _catalogue()
    candidates = _shortenings(cleaned)
    for candidate in candidates:
        slug = catalogue.exact.get(candidate)
        if slug is not None:
            return ModelName(slug, _publisher_of(slug) or vendor)
        found = _match(candidate, catalogue.families)
        if found is not None:
            return found
    plain = _TORN_VERSION.sub(r"\1.\2", candidates[-1])
    found = _match(plain, catalogue.loose)
    return found or ModelName(_tidy(plain, frozenset()), catalogue.makers.get(plain.split("-")[0], vendor))


def _shortenings(cleaned: str) -> list[str]:
    """The cleaned name, then with each removable tail taken off: the least shortened spelling that is known wins."""
    found = [cleaned]
    while True:
        shorter = found[-1]
        for tail in (_AT_VERSION, _VERSION_TAIL, _NOISE_TAIL, _DATES):
            candidate = tail.sub("", shorter)
            if candidate and candidate != shorter:
                found.append(candidate)
                break
        else:
            return found


def _match(cleaned: str, families: tuple[_Family, ...]) -> ModelName | None:
    for family in families:
        match = family.match.fullmatch(cleaned)
        if match is None:
            continue
        slug = family.slug
        for key, value in match.groupdict().items():
            slug = slug.replace(f"{{{key}}}", value or "")
        return ModelName(_tidy(slug, family.keep_zero), family.publisher)
    return None


def _tidy(slug: str, keep_zero: frozenset[str]) -> str:
    """Drops empty parts of a template (`4.` -> `4`) and a version's `.0` unless the family keeps it."""
    slug = re.sub(r"\.(?=-|$)|(?<=-)\.", "", re.sub(r"[:@]", "-", slug))
    slug = re.sub(r"(?<=-)(\d+)\.0(?=-|$)", lambda m: m.group(0) if m.group(0) in keep_zero else m.group(1), slug)
    return re.sub(r"-{2,}", "-", slug).strip("-")


def _publisher_of(slug: str) -> str | None:
    found = _match(slug, _catalogue().families) or _match(slug, _catalogue().loose)
    return found.publisher if found else None
