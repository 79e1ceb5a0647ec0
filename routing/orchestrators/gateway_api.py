"""The Kubernetes Gateway API: weights between backends in HTTPRoutes. Istio, Envoy Gateway, KServe, llm-d take it.

It moves traffic and nothing else: it has no failover order, refuses nothing by team, and does not touch bodies; what
is absent is said in `capabilities`. A target's attributes: `backend` (the object's name, by default the target's),
`backend_group` and `backend_kind` (by default a Service), `backend_port` (a Service needs one).
Source: https://gateway-api.sigs.k8s.io/reference/spec/#httproute.
"""

from collections.abc import Mapping
from typing import Any

from routing.desired import DesiredState, Route, Target, Tier
from routing.orchestrators.base import Atomic, Capabilities, Unsupported
from routing.orchestrators.kubernetes import (
    PROPAGATION,
    Cluster,
    Kind,
    KubernetesOrchestrator,
    Manifest,
    backend_of,
)

HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
# Limits of the HTTPRoute's own schema.
MAX_BACKENDS = 16

_ABSENT = (
    ("failover tiers", "an HTTPRoute has weights and no order; the gateway's own health checks take bad backends out"),
    ("hard stops", "the Gateway API can't answer for a backend; Envoy AI Gateway can"),
    ("quotas", "the Gateway API has no rate limits; Envoy AI Gateway has"),
    ("another model for the asked one", "an HTTPRoute does not change bodies"),
    ("observed split, usage", "traffic is not readable through the Kubernetes API: bring the gateway's telemetry"),
)


class GatewayApi(KubernetesOrchestrator):
    """One HTTPRoute a route."""

    kinds = (HTTP_ROUTE,)
    abilities = Capabilities(
        atomic=Atomic.ROUTE,
        cas=True,
        weight_step_ppm=1,
        propagation=PROPAGATION,
        tiers=False,
        blocks=False,
        block_bodies=False,
        credentials_per_target=False,
        observes_split=False,
        reads_usage=False,
        absent=_ABSENT,
    )

    def manifests(self, desired: DesiredState) -> list[Manifest]:
        if desired.blocks or desired.quotas:
            raise Unsupported("the Gateway API has neither hard stops nor quotas: leave them out for this orchestrator")
        return [self.route_manifest(HTTP_ROUTE, each, _backends(each, desired)) for each in desired.routes]

    def read_tiers(self, rule: Manifest, names: Mapping[str, str]) -> tuple[Tier, ...]:
        weights = {names.get(each["name"], each["name"]): int(each.get("weight", 1)) for each in rule["backendRefs"]}
        return (Tier.of(weights),)


def open_gateway_api(name: str, settings: Mapping[str, Any]) -> GatewayApi:
    """settings: see Cluster.of; the model is read from the header `model_header`, by default x-model."""
    return GatewayApi(name, Cluster.of(settings, model_header="x-model"))


def _backends(route: Route, desired: DesiredState) -> list[Manifest]:
    if len(route.tiers) > 1:
        raise Unsupported(f"{route.model}: an HTTPRoute has no failover order: use one tier")
    if route.served_model:
        raise Unsupported(f"{route.model}: an HTTPRoute can't ask for {route.served_model} instead")
    weighted = sorted(route.tiers[0].targets)
    if len(weighted) > MAX_BACKENDS:
        raise Unsupported(f"{route.model}: {len(weighted)} targets; an HTTPRoute takes at most {MAX_BACKENDS}")
    targets = {each.name: each for each in desired.targets}
    return [_backend(targets[each.target], each.weight_ppm) for each in weighted]


def _backend(target: Target, weight_ppm: int) -> Manifest:
    reference: Manifest = {
        "group": target.attribute("backend_group"),
        "kind": target.attribute("backend_kind", "Service"),
        "name": backend_of(target),
        "weight": weight_ppm,
    }
    port = target.attribute("backend_port")
    if port:
        reference["port"] = int(port)
    return reference
