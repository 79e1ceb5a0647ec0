"""What people read for the lake's slugs, and what each word means. Pure; a slug without an entry is shown as it is."""

import re

PROVIDERS = {"aws": "AWS", "azure": "Azure", "gcp": "GCP", "openai": "OpenAI", "anthropic": "Anthropic"}
TOKEN_TYPES = {
    "input_uncached": "Input, uncached",
    "cache_read": "Cache read",
    "cache_write_5m": "Cache write, 5 min",
    "cache_write_1h": "Cache write, 1 h",
    "output": "Output",
    "capacity": "Capacity",
    "other": "Other units",
}
METHODS = {
    "direct": ("Direct", "the bill line itself names its owner"),
    "token_share": ("Token share", "split by the tokens that telemetry counted for each owner"),
    "over_metered": ("Over-metered", "telemetry counted more than the bill; split pro rata of the bill"),
    "capacity_share": ("Capacity share", "reserved capacity, split by the weighted tokens it served"),
    "platform_share": ("Platform share", "what serves inference, split by inference spend"),
    "manual": ("Manual rule", "a rule names the owner of such lines"),
    "unattributed": ("Unattributed", "no owner; the reason says why"),
}
REASONS = {
    "bypass": ("No telemetry", "billed, but no telemetry saw it: calls that bypass the gateway"),
    "unmetered": ("Billed above telemetry", "the bill counts more tokens than telemetry did, beyond tolerance"),
    "unowned": ("No rule names an owner", "telemetry saw it, but no ownership rule matches"),
    "not_understood": ("Meter not understood", "looks like inference, but the meter is not in the catalogue"),
    "idle": ("Idle capacity", "reserved capacity that served nothing"),
    "commitment_unused": ("Commitment unused", "paid commitment that covered nothing"),
    "other_scope": ("Outside inference", "the rest of the cloud"),
    "shared_unassigned": ("Shared, unassigned", "taxes, credits, support and fees with no rule"),
}
_NOTHING = {
    "model": ("No single model", "capacity, taxes, credits, network: lines that no meter gives to one model"),
    "team": ("No owner", "unattributed: the panel on the right says why"),
    "project": ("No project", "the owner's team is known at most"),
    "token_type": ("No token type", "estimates, taxes, credits and other lines that no token meter covers"),
    "region": ("No region", "the bill names no region for these lines"),
    "method": ("Estimated", "not billed yet: the method is chosen when the bill arrives"),
    "reason": ("Attributed", "these parts have an owner"),
}
_ROLES = {
    "owner": "Owner, all teams",
    "finance": "Finance, all teams",
    "operator": "Operator, all teams",
    "viewer": "Viewer, all teams",
}
_SPECIAL = {"gpt": "GPT", "ai": "AI", "oss": "OSS", "glm": "GLM", "us": "US", "eu": "EU"}


def entity(dimension: str, slug: str | None, names: dict[str, str] | None = None) -> str:
    """The label of a value of a dimension; `names` are the catalogue's own names (teams, projects)."""
    if slug is None:
        return _NOTHING.get(dimension, ("None", ""))[0]
    if names and slug in names:
        return names[slug]
    if dimension == "provider":
        return PROVIDERS.get(slug, slug)
    if dimension == "token_type":
        return TOKEN_TYPES.get(slug, slug)
    if dimension == "method":
        return METHODS.get(slug, (slug, ""))[0]
    if dimension == "reason":
        return REASONS.get(slug, (slug, ""))[0]
    return model(slug) if dimension == "model" else slug


def provider(slug: str) -> str:
    return PROVIDERS.get(slug, slug)


def meaning(dimension: str, slug: str | None) -> str:
    """What a value means, for its title; the slug itself where there is nothing more to say."""
    if slug is None:
        return _NOTHING.get(dimension, ("", ""))[1]
    table = {"method": METHODS, "reason": REASONS}.get(dimension, {})
    return table.get(slug, ("", slug))[1]


def model(slug: str) -> str:
    """'claude-sonnet-4.5' as 'Claude Sonnet 4.5', 'gpt-5-mini' as 'GPT-5 mini', 'llama-3.3-70b' as 'Llama 3.3 70B'."""
    words = slug.split("-")
    if words[0] == "gpt" and len(words) > 1:
        return " ".join([f"GPT-{words[1]}", *words[2:]])
    return " ".join(_word(each) for each in words)


def role(value: str, team: str | None) -> str:
    """'Finance, all teams' or 'Lead of Search'."""
    return f"{value.capitalize()} of {team}" if team else _ROLES.get(value, value.capitalize())


def initials(name: str) -> str:
    words = [word for word in re.split(r"[\s.@_-]+", name) if word]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def _word(word: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?[bm]|\d+x\d+b", word):
        return word.upper() if word[-1] == "b" and "x" not in word else word
    return _SPECIAL.get(word, word[:1].upper() + word[1:])
