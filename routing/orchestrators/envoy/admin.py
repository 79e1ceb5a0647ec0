"""What one Envoy really runs, over its admin interface (loopback or a socket, never the network)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from routing.orchestrators import calls
from routing.orchestrators.base import Malformed

Json = dict[str, Any]


@dataclass(frozen=True)
class Running:
    """Versions by resource name (cds, rds, ecds, eds/<cluster>), refusals in words, ejected targets' addresses.

    clusters: DNS clusters hold their weights themselves. ejected: (cluster, "host:port").
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    rejections: tuple[str, ...] = ()
    ejected: frozenset[tuple[str, str]] = frozenset()


def address_of(admin: str) -> str:
    """What `calls.call` takes for a layout's admin setting."""
    return admin if admin.startswith("/") else f"http://{admin}"


def is_ready(admin: str, *, timeout_seconds: float = 1.0) -> bool:
    """Does it serve? Raises Unreachable when nobody answers."""
    answer = calls.call("GET", address_of(admin), "/ready", timeout_seconds=timeout_seconds)
    return answer.status == 200


def read_running(admin: str, *, timeout_seconds: float = 3.0) -> Running:
    """Raises Unreachable, Malformed."""
    dump = _get(admin, "/config_dump", timeout_seconds)
    texts = _get(admin, "/stats?format=json&type=TextReadouts&filter=version_text", timeout_seconds)
    counts = _get(admin, "/stats?format=json&filter=update_rejected", timeout_seconds)
    clusters = _get(admin, "/clusters?format=json", timeout_seconds)
    try:
        versions = {**dict(_dumped(dump)), **dict(_endpoint_versions(texts))}
        errors = tuple(_errors(dump))
        return Running(versions, errors or tuple(_rejections(counts)), frozenset(_ejected(clusters)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Malformed(f"the admin interface's answer can't be read: {error!r}") from error


def live_versions(admin: str, names: frozenset[str], *, timeout_seconds: float = 2.0) -> dict[str, str]:
    """The running versions of `names` only, with as few calls as they need: what `apply` polls."""
    found: dict[str, str] = {}
    if any(name.startswith("eds/") for name in names):
        path = "/stats?format=json&type=TextReadouts&filter=version_text"
        found |= dict(_endpoint_versions(_get(admin, path, timeout_seconds)))
    if any(not name.startswith("eds/") for name in names):
        found |= dict(_dumped(_get(admin, "/config_dump", timeout_seconds)))
    return {name: version for name, version in found.items() if name in names}


def reopen_logs(admin: str) -> None:
    """Make Envoy write to a new file after the old one was renamed."""
    calls.raise_for(calls.call("POST", address_of(admin), "/reopen_logs"), "reopen logs")


def _get(admin: str, path: str, timeout_seconds: float) -> Json:
    answer = calls.raise_for(calls.call("GET", address_of(admin), path, timeout_seconds=timeout_seconds), path)
    try:
        plain = json.loads(answer.body)
    except ValueError as error:
        raise Malformed(f"{path}: no JSON") from error
    if not isinstance(plain, dict):
        raise Malformed(f"{path}: not an object")
    return plain


def _dumped(dump: Json) -> Iterator[tuple[str, str]]:
    for section in dump["configs"]:
        match str(section["@type"]).rpartition(".")[2]:
            case "ClustersConfigDump":
                yield "cds", str(section.get("version_info", ""))
            case "RoutesConfigDump":
                for each in section.get("dynamic_route_configs", []):
                    yield "rds", str(each.get("version_info", ""))
            case "EcdsConfigDump":
                for each in section.get("ecds_filters", []):
                    name = each.get("ecds_filter", {}).get("name")
                    yield "keys" if name == "weir.keys" else "ecds", str(each.get("version_info", ""))


def _errors(dump: Json) -> Iterator[str]:
    """The error states of what was refused and has not been replaced by a good one."""
    for section in dump["configs"]:
        for name in ("dynamic_active_clusters", "dynamic_warming_clusters", "dynamic_route_configs", "ecds_filters"):
            for each in section.get(name, []):
                if "error_state" in each:
                    yield f"refused: {each['error_state'].get('details', 'no details')}"[:500]


def _endpoint_versions(texts: Json) -> Iterator[tuple[str, str]]:
    """ "cluster.model/x.version_text": the stat's name holds the cluster's, with colons as underscores."""
    for each in texts.get("stats", []):
        name = str(each["name"])
        if name.startswith("cluster.") and name.endswith(".version_text"):
            yield f"eds/{name[len('cluster.') : -len('.version_text')]}", str(each["value"])


def _rejections(counts: Json) -> Iterator[str]:
    for each in counts.get("stats", []):
        if each.get("value") and "update_rejected" in str(each.get("name", "")):
            yield f"{each['name']}: {each['value']} updates refused"


def _ejected(clusters: Json) -> Iterator[tuple[str, str]]:
    for each in clusters.get("cluster_statuses", []):
        for host in each.get("host_statuses", []):
            if host.get("health_status", {}).get("failed_outlier_check"):
                socket_address = host["address"]["socket_address"]
                yield str(each["name"]), f"{socket_address['address']}:{socket_address['port_value']}"
