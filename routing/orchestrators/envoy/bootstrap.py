"""How Envoy is started: one static file with its listener and filters; everything that changes comes from other files.

Filters, in order: the API key says who calls (its header is taken off before a provider sees it), the body says which
model, the quotas count, the model may be renamed, usage is read from the answer, also from a stream's end.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing.orchestrators.envoy.render import (
    METADATA,
    RATE_LIMIT,
    RATE_LIMIT_FILTER,
    ROUTE_CONFIG,
    TRANSFORM,
    TRANSFORM_FILTER,
    TYPE,
)

KEYS_FILTER = "weir.keys"
API_KEYS = TYPE + "envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth"
CLIENT_HEADER = "x-weir-client"
# A prompt of several megabytes must fit, else it is answered with 413.
_BUFFER_BYTES = 33_554_432

Json = dict[str, Any]

# The access log's fields: name -> Envoy's operator. Never a header that may hold a secret, never a body.
LOG_FIELDS = {
    "ts": "%START_TIME(%s.%6f)%",
    "rid": "%REQ(X-REQUEST-ID)%",
    "team": f"%DYNAMIC_METADATA({METADATA}:team)%",
    "key": f"%DYNAMIC_METADATA({METADATA}:key)%",
    "model": f"%DYNAMIC_METADATA({METADATA}:model)%",
    "resp_model": f"%DYNAMIC_METADATA({METADATA}:resp_model)%",
    "in": f"%DYNAMIC_METADATA({METADATA}:in)%",
    "out": f"%DYNAMIC_METADATA({METADATA}:out)%",
    "cached": f"%DYNAMIC_METADATA({METADATA}:cached)%",
    "target": f"%UPSTREAM_METADATA({METADATA}:target)%",
    "provider": f"%UPSTREAM_METADATA({METADATA}:provider)%",
    "region": f"%UPSTREAM_METADATA({METADATA}:region)%",
    "route": "%ROUTE_NAME%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "ms": "%DURATION%",
    "ttfb_ms": "%RESPONSE_DURATION%",
}


@dataclass(frozen=True)
class Layout:
    """Where one Envoy's files and ports are. admin: "host:port", or the path of a socket when it starts with "/"."""

    folder: Path
    listen_host: str
    listen_port: int
    admin: str
    node: str = "weir"

    @property
    def xds(self) -> Path:
        return self.folder / "xds"

    @property
    def log(self) -> Path:
        return self.folder / "log" / "access.jsonl"

    @property
    def bootstrap(self) -> Path:
        return self.folder / "envoy.json"


def bootstrap(layout: Layout) -> Json:
    """The static configuration; paths are absolute, so that it can be started from anywhere."""
    return {
        "node": {"id": layout.node, "cluster": "weir"},
        "admin": {"address": _admin_address(layout.admin)},
        "dynamic_resources": {"cds_config": _file(layout.xds / "cds.json")},
        "static_resources": {"listeners": [_listener(layout, inline=None)]},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 1000}}]},
    }


def candidate(layout: Layout, documents: Mapping[str, Json]) -> Json:
    """A configuration for the dry run: `documents` (cds, rds, ecds, keys and eds/*) inline, so that all is checked."""
    clusters = []
    for each in documents["cds"]["resources"]:
        body = {key: value for key, value in each.items() if key != "@type"}
        if body.get("type") == "EDS":
            found = documents[f"eds/{body['name']}"]["resources"][0]
            body["type"] = "STATIC"
            del body["eds_cluster_config"]
            body["load_assignment"] = {key: value for key, value in found.items() if key != "@type"}
        clusters.append(body)
    return {
        "node": {"id": layout.node, "cluster": "weir"},
        "static_resources": {"clusters": clusters, "listeners": [_listener(layout, inline=documents)]},
    }


def keys_document(keys: Mapping[str, str], version: str) -> bytes:
    """The API keys' file. keys: client ("team|key name") -> secret.

    Envoy 1.40 compares keys as they are, so the file holds secrets: it is written with mode 600, and nothing else does.
    """
    credentials = [{"key": secret, "client": client} for client, secret in sorted(keys.items())]
    body = {
        "@type": API_KEYS,
        "credentials": credentials,
        "key_sources": [{"header": "Authorization"}],
        "forwarding": {"header": CLIENT_HEADER, "hide_credentials": True},
    }
    extension = {"@type": TYPE + "envoy.config.core.v3.TypedExtensionConfig", "name": KEYS_FILTER, "typed_config": body}
    return (json.dumps({"version_info": version, "resources": [extension]}, sort_keys=True, indent=1) + "\n").encode()


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _admin_address(admin: str) -> Json:
    if admin.startswith("/"):
        return {"pipe": {"path": admin, "mode": 0o600}}
    host, _, port = admin.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _file(path: Path) -> Json:
    # No watched directory: then each file is read again when it is renamed into place, and no other with it.
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _listener(layout: Layout, inline: Mapping[str, Json] | None) -> Json:
    manager: Json = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inference",
        "codec_type": "AUTO",
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [_access_log(layout)],
        "http_filters": _filters(layout, inline),
    }
    if inline is None:
        manager["rds"] = {"route_config_name": ROUTE_CONFIG, "config_source": _file(layout.xds / "rds.json")}
    else:
        routes = {key: value for key, value in inline["rds"]["resources"][0].items() if key != "@type"}
        manager["route_config"] = {**routes, "validate_clusters": True}
    return {
        "name": "inference",
        "address": {"socket_address": {"address": layout.listen_host, "port_value": layout.listen_port}},
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _access_log(layout: Layout) -> Json:
    kind = TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": kind, "path": str(layout.log), "log_format": {"json_format": LOG_FIELDS}},
    }


def _filters(layout: Layout, inline: Mapping[str, Json] | None) -> list[Json]:
    return [
        _discovered(KEYS_FILTER, layout.xds / "keys.json", API_KEYS, (inline or {}).get("keys")),
        {"name": "weir.client", "typed_config": _client_rules()},
        {"name": "weir.request", "typed_config": _request_rules()},
        _discovered(RATE_LIMIT_FILTER, layout.xds / "ecds.json", RATE_LIMIT, (inline or {}).get("ecds")),
        {"name": TRANSFORM_FILTER, "typed_config": {"@type": TRANSFORM}},
        {"name": "weir.stream", "typed_config": _stream_rules()},
        {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"},
        },
    ]


def _discovered(name: str, path: Path, type_url: str, document: Json | None) -> Json:
    if document is not None:
        return {"name": name, "typed_config": document["resources"][0]["typed_config"]}
    return {"name": name, "config_discovery": {"config_source": _file(path), "type_urls": [type_url]}}


def _client_rules() -> Json:
    """ "team|key" of the authenticated header -> metadata team and key; then the header is gone."""
    kind = TYPE + "envoy.extensions.filters.http.header_to_metadata.v3.Config"

    def rule(key: str, part: str, *, last: bool) -> Json:
        rewrite = {"pattern": {"regex": r"^([^|]*)\|(.*)$"}, "substitution": part}
        present = {"metadata_namespace": METADATA, "key": key, "type": "STRING", "regex_value_rewrite": rewrite}
        return {"header": CLIENT_HEADER, "on_header_present": present, "remove": last}

    rules = [rule("team", r"\1", last=False), rule("key", r"\2", last=True)]
    return {"@type": kind, "request_rules": rules}


def _request_rules() -> Json:
    """The body's model and max_tokens. A body that is no JSON, or names none, has the model "unknown"."""
    kind = TYPE + "envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata"

    def rule(key: str, value_type: str, otherwise: str | int) -> Json:
        there = {"metadata_namespace": METADATA, "key": key}
        absent = {**there, "value": otherwise, "preserve_existing_metadata_value": False}
        return {
            "selectors": [{"key": key}],
            "on_present": {**there, "type": value_type},
            "on_missing": absent,
            "on_error": absent,
        }

    request = {"rules": [rule("model", "STRING", "unknown"), rule("max_tokens", "NUMBER", 256)]}
    response = {"rules": [_usage_rule(path, key, kind_) for path, key, kind_ in _USAGE]}
    return {"@type": kind, "request_rules": request, "response_rules": response}


_USAGE = (
    (("model",), "resp_model", "STRING"),
    (("usage", "prompt_tokens"), "in", "NUMBER"),
    (("usage", "completion_tokens"), "out", "NUMBER"),
    (("usage", "prompt_tokens_details", "cached_tokens"), "cached", "NUMBER"),
)


def _usage_rule(path: tuple[str, ...], key: str, value_type: str) -> Json:
    return {
        "selectors": [{"key": each} for each in path],
        "on_present": {"metadata_namespace": METADATA, "key": key, "type": value_type},
    }


def _stream_rules() -> Json:
    """A stream's last event holds its usage, where the caller asked for it (stream_options.include_usage)."""
    kind = TYPE + "envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata"
    parser = {
        "name": "envoy.content_parsers.json",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.content_parsers.json.v3.JsonContentParser",
            "rules": [{"rule": _usage_rule(path, key, value_type)} for path, key, value_type in _USAGE],
        },
    }
    return {"@type": kind, "response_rules": {"max_event_size": 1_048_576, "content_parser": parser}}
