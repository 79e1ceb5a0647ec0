"""Envoy AI Gateway: weights, failover order and the served model in AIGatewayRoutes; quotas and stops beside them.

Quotas and hard stops are rules of one BackendTrafficPolicy on the Gateway, counted over all routes together. It needs
the gateway's global rate-limit service; tokens are counted from the answers' usage, so a limit is passed by the
requests that were on their way. A target's attributes: `backend` (the AIServiceBackend's name, by default the target's;
its credential and dialect are that object's), `upstream_model` (the provider's name of the model).
Source: https://aigateway.envoyproxy.io/docs/, the CRDs' schemas.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from routing.desired import Block, DesiredState, Quota, Route, Tier, WeightedTarget
from routing.orchestrators.base import Atomic, Capabilities, QuotaKind, Unsupported
from routing.orchestrators.kubernetes import (
    PROPAGATION,
    Cluster,
    Kind,
    KubernetesOrchestrator,
    Manifest,
    backend_of,
)
from routing.orchestrators.naming import object_name

AI_ROUTE = Kind("aigateway.envoyproxy.io", "v1beta1", "AIGatewayRoute", "aigatewayroutes")
TRAFFIC_POLICY = Kind("gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies")
MODEL_HEADER = "x-ai-eg-model"
TOTAL_TOKENS = "llm_total_token"
# Limits of the schemas.
MAX_BACKENDS, MAX_RULES = 128, 128

_ABSENT = (
    ("the reason in a hard stop's answer", "the rate limit answers 429 without a body of ours"),
    ("quotas by key", "the gateway knows the team's header, not the key"),
    ("observed split, usage", "traffic is not readable through the Kubernetes API: bring the gateway's telemetry"),
)


class AiGateway(KubernetesOrchestrator):
    """One AIGatewayRoute a route, one BackendTrafficPolicy for all limits."""

    kinds = (AI_ROUTE, TRAFFIC_POLICY)
    abilities = Capabilities(
        atomic=Atomic.ROUTE,
        cas=True,
        weight_step_ppm=1,
        propagation=PROPAGATION,
        block_bodies=False,
        quotas=frozenset(QuotaKind) - {QuotaKind.KEY_RPM, QuotaKind.KEY_TPM},
        renames_model=True,
        credentials_per_target=True,
        dialects_per_target=True,
        observes_split=False,
        reads_usage=False,
        absent=_ABSENT,
    )

    def manifests(self, desired: DesiredState) -> list[Manifest]:
        made = [self._route(each, desired) for each in desired.routes]
        rules = [*self._limits(desired)]
        if len(rules) > MAX_RULES:
            raise Unsupported(f"{len(rules)} quotas and stops; one policy takes at most {MAX_RULES}: merge some")
        return [*made, self._policy(rules)] if rules else made

    def read_tiers(self, rule: Manifest, names: Mapping[str, str]) -> tuple[Tier, ...]:
        tiers: dict[int, list[WeightedTarget]] = defaultdict(list)
        for each in rule["backendRefs"]:
            share = WeightedTarget(names.get(each["name"], each["name"]), int(each.get("weight", 1)))
            tiers[int(each.get("priority", 0))].append(share)
        return tuple(Tier(tuple(sorted(tiers[priority]))) for priority in sorted(tiers))

    def _route(self, route: Route, desired: DesiredState) -> Manifest:
        targets = {each.name: each for each in desired.targets}
        backends: list[Manifest] = []
        for priority, tier in enumerate(route.tiers):
            for each in sorted(tier.targets):
                target = targets[each.target]
                backend: Manifest = {
                    "name": backend_of(target),
                    "weight": each.weight_ppm,
                    "priority": priority,
                }
                # The provider's name of the model that answers; a route that changes the model must know it.
                upstream = target.attribute(f"upstream_model:{route.served_model or route.model}")
                asked = upstream or route.served_model or target.attribute("upstream_model")
                if asked:
                    backend["modelNameOverride"] = asked
                backends.append(backend)
        if len(backends) > MAX_BACKENDS:
            raise Unsupported(f"{route.model}: {len(backends)} targets; a rule takes at most {MAX_BACKENDS}")
        made = self.route_manifest(AI_ROUTE, route, backends)
        made["spec"]["llmRequestCosts"] = [{"metadataKey": TOTAL_TOKENS, "type": "TotalToken"}]
        return made

    def _limits(self, desired: DesiredState) -> Iterator[Manifest]:
        for block in sorted(desired.blocks, key=lambda each: (each.team or "", each.model or "")):
            yield {
                "clientSelectors": self._selectors(block),
                "limit": {"requests": 0, "unit": "Minute"},
                "shared": True,
            }
        ordered = sorted(desired.quotas, key=lambda each: (each.team or "", each.model or "", each.key or ""))
        for quota in ordered:
            if quota.key is not None:
                raise Unsupported(f"quota of key {quota.key}: Envoy AI Gateway counts by team and model only")
            if quota.rpm is not None:
                yield self._limit(quota, quota.rpm)
            if quota.tpm is not None:
                yield self._limit(quota, quota.tpm) | {"cost": _BY_TOKENS}

    def _limit(self, quota: Quota, requests: int) -> Manifest:
        limit = {"requests": requests, "unit": "Minute"}
        selectors = self._selectors(quota)
        # A rule without a selector counts every request.
        return {"limit": limit, "shared": True} | ({"clientSelectors": selectors} if selectors else {})

    def _selectors(self, of: Block | Quota) -> list[Manifest]:
        wanted = [(self.cluster.team_header, of.team), (self.cluster.model_header, of.model)]
        headers = [{"name": name, "type": "Exact", "value": value} for name, value in wanted if value is not None]
        if not headers and isinstance(of, Block):
            # A stop of everything: any team at all, and requests without one.
            headers = [{"name": self.cluster.model_header, "type": "RegularExpression", "value": ".*"}]
        return [{"headers": headers}] if headers else []

    def _policy(self, rules: list[Manifest]) -> Manifest:
        return {
            "apiVersion": TRAFFIC_POLICY.api_version,
            "kind": TRAFFIC_POLICY.kind,
            "metadata": {"name": object_name(self.name, "limits"), "namespace": self.cluster.namespace},
            "spec": {
                "targetRefs": [self.gateway_reference()],
                "rateLimit": {"type": "Global", "global": {"rules": rules}},
            },
        }


_BY_TOKENS = {
    "request": {"from": "Number", "number": 0},
    "response": {"from": "Metadata", "metadata": {"namespace": "io.envoy.ai_gateway", "key": TOTAL_TOKENS}},
}


def open_ai_gateway(name: str, settings: Mapping[str, Any]) -> AiGateway:
    """settings: see Cluster.of."""
    return AiGateway(name, Cluster.of(settings, model_header=MODEL_HEADER))
