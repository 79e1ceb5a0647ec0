"""Names for what Weir makes in an orchestrator: the same parts give the same name, others another."""

import hashlib
import re


def object_name(*parts: str) -> str:
    """At most 63 of a-z, 0-9 and "-" (a DNS label): readable, and distinct for distinct parts by a digest."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")[:48].strip("-")
    return f"weir-{readable}-{digest}"
