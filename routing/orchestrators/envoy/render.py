"""A snapshot as Envoy's resources (xDS, JSON form). Pure: the same snapshot and folder give the same bytes.

One cluster a route; a target is a locality with its weight, a tier is a priority. Who calls and for which model stand
in the request's dynamic metadata (namespace weir: team, key, model), put there by the filters of bootstrap.py.
Numbers that look arbitrary were measured: with single-host clusters a failing provider cost two thirds of requests,
with localities none; a quota in RDS is refilled by every push of weights, in ECDS only by a push of quotas.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routing.desired import Block, DesiredState, Problem, Quota, Route, Target

TYPE = "type.googleapis.com/"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
EXTENSION = TYPE + "envoy.config.core.v3.TypedExtensionConfig"
RATE_LIMIT = TYPE + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
TRANSFORM = TYPE + "envoy.extensions.filters.http.transform.v3.TransformConfig"

ROUTE_CONFIG = "inference"
RATE_LIMIT_FILTER = "weir.quotas"
TRANSFORM_FILTER = "weir.rename"
METADATA = "weir"
# "No limit": a bucket that a minute can't empty.
_UNLIMITED = 4_000_000_000
_PLENTY = {"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192, "max_retries": 512}

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One file: its name among the versions, its file name, its xDS type, its resources."""

    name: str
    file: str
    type_url: str
    bodies: tuple[Json, ...]

    def digest(self) -> str:
        """12 hex of the content's SHA-256: what stands behind the generation in its version."""
        text = json.dumps([self.type_url, *self.bodies], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def document(self, version: str) -> bytes:
        """The file's bytes: a DiscoveryResponse with `version`."""
        content = {"version_info": version, "type_url": self.type_url, "resources": list(self.bodies)}
        return (json.dumps(content, sort_keys=True, indent=1) + "\n").encode()


def problems(state: DesiredState) -> list[Problem]:
    """What Envoy can't hold of a sound snapshot, with the fix."""
    found = []
    for target in state.targets:
        path = urlsplit(target.endpoint).path
        if path not in ("", "/"):
            words = f"endpoint {target.endpoint}: a path per target is not possible here; give the host alone"
            found.append(Problem(target.name, words))
    for route in state.routes:
        schemes = {urlsplit(each.endpoint).scheme for each in _targets_of(state, route)}
        if len(schemes) > 1:
            found.append(Problem(f"{route.team or 'every team'}/{route.model}", "mixes http and https targets"))
    return found


def render(state: DesiredState, folder: str) -> dict[str, Resource]:
    """Every file by resource name. folder: where the files will stand, absolute."""
    routes = sorted(state.routes, key=lambda each: (each.model, each.team or ""))
    found = [
        Resource(f"eds/{cluster_name(each)}", eds_file(each), ENDPOINTS, (endpoints(state, each),)) for each in routes
    ]
    clusters = [_NO_CLUSTER, *(cluster(state, each, folder) for each in routes)]
    found.append(Resource("cds", "cds.json", CLUSTER, tuple(clusters)))
    found.append(Resource("rds", "rds.json", ROUTES, (route_configuration(state),)))
    found.append(Resource("ecds", "ecds.json", EXTENSION, (quota_filter(state.quotas),)))
    return {each.name: each for each in found}


def cluster_name(route: Route) -> str:
    return f"model/{route.model}" if route.team is None else f"team/{route.team}/model/{route.model}"


def eds_file(route: Route) -> str:
    """Readable, and safe as a file name: what is not a plain character is dropped, the digest keeps it unique."""
    name = cluster_name(route)
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name)[:80].strip("-.")
    return f"eds-{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"


def endpoints(state: DesiredState, route: Route) -> Json:
    """The weights: a locality a target, a priority a tier. Weight 0 is left out."""
    localities = []
    for priority, tier in enumerate(route.tiers):
        for each in sorted(tier.targets):
            target = state.target(each.target)
            if target is None or each.weight_ppm <= 0:
                continue
            localities.append(
                {
                    "locality": {"region": target.region, "zone": target.name},
                    "priority": priority,
                    "load_balancing_weight": each.weight_ppm,
                    "lb_endpoints": [_endpoint(target)],
                }
            )
    return {"@type": ENDPOINTS, "cluster_name": cluster_name(route), "endpoints": localities}


def read_weights(document: Mapping[str, Any]) -> list[dict[str, int]]:
    """The tiers that an endpoints file says: target -> parts per million. Raises KeyError or TypeError if it can't."""
    tiers: dict[int, dict[str, int]] = {}
    for each in document["resources"][0].get("endpoints", []):
        tier = tiers.setdefault(int(each.get("priority", 0)), {})
        tier[str(each["locality"]["zone"])] = int(each["load_balancing_weight"])
    return [tiers[priority] for priority in sorted(tiers)]


def cluster(state: DesiredState, route: Route, folder: str) -> Json:
    """One cluster a route. Targets named by address get their weights by EDS; a host name needs DNS, so those stand
    in the cluster itself, and a change of weights replaces it."""
    targets = _targets_of(state, route)
    body: Json = {
        "@type": CLUSTER,
        "name": cluster_name(route),
        "connect_timeout": "2s",
        "lb_policy": "ROUND_ROBIN",
        "common_lb_config": {
            "healthy_panic_threshold": {"value": 0},
            "locality_weighted_lb_config": {},
            "update_merge_window": "0s",
        },
        "circuit_breakers": {"thresholds": [_PLENTY]},
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_time": "60s",
            "max_ejection_percent": 100,
        },
    }
    if all(_is_address(each.endpoint) for each in targets):
        source = {"path_config_source": {"path": f"{folder}/{eds_file(route)}"}, "resource_api_version": "V3"}
        body |= {"type": "EDS", "eds_cluster_config": {"service_name": cluster_name(route), "eds_config": source}}
    else:
        inline = {key: value for key, value in endpoints(state, route).items() if key != "@type"}
        body |= {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED", "load_assignment": inline}
    if any(urlsplit(each.endpoint).scheme == "https" for each in targets):
        body |= _tls()
    return body


def uses_eds(state: DesiredState, route: Route) -> bool:
    return all(_is_address(each.endpoint) for each in _targets_of(state, route))


def route_configuration(state: DesiredState) -> Json:
    """Blocks first, then the routes of teams, then those of all teams, then 404 for an unknown model."""
    ordered = sorted(state.routes, key=lambda each: (each.team is None, each.team or "", each.model))
    rules = [_block_route(each) for each in sorted(state.blocks, key=_block_order)]
    rules += [_model_route(each) for each in ordered]
    rules.append(
        {
            "name": "unknown",
            "match": {"prefix": "/"},
            "direct_response": _answer(
                404, {"error": {"type": "invalid_request_error", "code": "model_not_found", "message": "no such model"}}
            ),
            "response_headers_to_add": [_JSON_HEADER],
        }
    )
    host = {"name": "inference", "domains": ["*"], "routes": rules}
    # A cluster that is not there yet must not make Envoy refuse the file: apply writes clusters first and waits.
    return {
        "@type": ROUTES,
        "name": ROUTE_CONFIG,
        "virtual_hosts": [host],
        "max_direct_response_body_size_bytes": 16384,
    }


def quota_filter(quotas: Iterable[Quota]) -> Json:
    """The rate limit as an extension of its own (ECDS): a push of weights must not refill its buckets."""
    ordered = sorted(quotas, key=lambda each: (each.team or "", each.key or "", each.model or ""))
    limits = [
        (each, unit, limit) for each in ordered for unit, limit in (("rpm", each.rpm), ("tpm", each.tpm)) if limit
    ]
    shapes = sorted({(unit, _shape(each)) for each, unit, _limit in limits})
    body = {
        "@type": RATE_LIMIT,
        "stat_prefix": "quotas",
        "status": {"code": "TooManyRequests"},
        "filter_enabled": {"default_value": {"numerator": 100}},
        "filter_enforced": {"default_value": {"numerator": 100}},
        "token_bucket": _bucket(_UNLIMITED),
        "descriptors": [
            {"entries": _entries(each, unit), "token_bucket": _bucket(limit)} for each, unit, limit in limits
        ],
        "rate_limits": [_rate_limit(unit, shape) for unit, shape in shapes],
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "response_headers_to_add": [
            {"header": {"key": "x-weir-refused", "value": "quota"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }
    return {"@type": EXTENSION, "name": RATE_LIMIT_FILTER, "typed_config": body}


def _weights(state: DesiredState, route: Route) -> Resource:
    return Resource(f"eds/{cluster_name(route)}", eds_file(route), ENDPOINTS, (endpoints(state, route),))


# Without any cluster Envoy does not say which version of the list it runs.
_NO_CLUSTER: Json = {"@type": CLUSTER, "name": "weir/none", "type": "STATIC", "connect_timeout": "1s"}
_JSON_HEADER = {
    "header": {"key": "content-type", "value": "application/json"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}


def _targets_of(state: DesiredState, route: Route) -> list[Target]:
    names = {each.target for tier in route.tiers for each in tier.targets if each.weight_ppm > 0}
    return [each for each in state.targets if each.name in names]


def _is_address(endpoint: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return False
    return True


def _endpoint(target: Target) -> Json:
    parts = urlsplit(target.endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    return {
        "endpoint": {
            "hostname": host,
            "address": {"socket_address": {"address": host, "port_value": port}},
        },
        "metadata": {
            "filter_metadata": {METADATA: {"target": target.name, "provider": target.provider, "region": target.region}}
        },
    }


def _tls() -> Json:
    """Certificates are checked against the machine's; the name is that of the target's host."""
    tls = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    options = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    trust = {"trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}
    return {
        "transport_socket": {
            "name": "tls",
            "typed_config": {"@type": tls, "common_tls_context": {"validation_context": trust}},
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": options,
                "explicit_http_config": {"http_protocol_options": {}},
                "upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True},
            }
        },
    }


def _model_route(route: Route) -> Json:
    retry = {
        "retry_on": "5xx,reset,connect-failure,retriable-status-codes",
        "retriable_status_codes": [429, 503, 529],
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.050s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 8,
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": 2,
            },
        },
    }
    body: Json = {
        "name": cluster_name(route),
        "match": _match(route.team, route.model),
        "route": {
            "cluster": cluster_name(route),
            "timeout": "300s",
            "auto_host_rewrite": True,
            "retry_policy": retry,
        },
    }
    if route.served_model is not None:
        # Merged into the JSON body: everything else of the request stays as the caller wrote it.
        change = {"body_format": {"json_format": {"model": route.served_model}}, "action": "MERGE"}
        body["typed_per_filter_config"] = {
            TRANSFORM_FILTER: {"@type": TRANSFORM, "request_transformation": {"body_transformation": change}}
        }
    return body


def _match(team: str | None, model: str | None) -> Json:
    wanted = [(key, value) for key, value in (("team", team), ("model", model)) if value is not None]
    match: Json = {"prefix": "/v1/"}
    if wanted:
        match["dynamic_metadata"] = [
            {"filter": METADATA, "path": [{"key": key}], "value": {"string_match": {"exact": value}}}
            for key, value in wanted
        ]
    return match


def _block_order(block: Block) -> tuple[bool, bool, str, str]:
    """The narrowest first: its reason is the one that its caller should read."""
    return (block.team is None, block.model is None, block.team or "", block.model or "")


def _block_route(block: Block) -> Json:
    return {
        "name": f"block/{block.team or '*'}/{block.model or '*'}",
        "match": _match(block.team, block.model),
        "direct_response": _answer(429, block.body.body()),
        "response_headers_to_add": [
            _JSON_HEADER,
            {"header": {"key": "x-weir-refused", "value": "budget"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
    }


def _answer(status: int, body: Json) -> Json:
    text = json.dumps(body, sort_keys=True)
    # A response body is a format string here: a percent sign stands for itself only when doubled.
    return {"status": status, "body": {"inline_string": text}}


def _shape(quota: Quota) -> tuple[str, ...]:
    return tuple(name for name in ("team", "client", "model") if _value(quota, name) is not None)


def _value(quota: Quota, name: str) -> str | None:
    if name == "client":
        return None if quota.key is None else quota.key
    return quota.team if name == "team" else quota.model


def _entries(quota: Quota, unit: str) -> list[Json]:
    entries: list[Json] = [{"key": "unit", "value": unit}]
    return entries + [{"key": name, "value": _value(quota, name)} for name in _shape(quota)]


def _rate_limit(unit: str, shape: tuple[str, ...]) -> Json:
    actions: list[Json] = [{"generic_key": {"descriptor_key": "unit", "descriptor_value": unit}}]
    for name in shape:
        path = {"key": METADATA, "path": [{"key": "key" if name == "client" else name}]}
        actions.append({"metadata": {"descriptor_key": name, "metadata_key": path, "source": "DYNAMIC"}})
    limit: Json = {"actions": actions}
    if unit == "tpm":
        # Charged before the answer, so by what the caller allows it to be: its max_tokens.
        limit["hits_addend"] = {"format": f"%DYNAMIC_METADATA({METADATA}:max_tokens)%"}
    return limit


def _bucket(limit: int) -> Json:
    return {"max_tokens": limit, "tokens_per_fill": limit, "fill_interval": "60s"}
