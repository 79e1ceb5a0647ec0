"""The live demo as data: three pools, what they charge, who asks for what. Pure and without Django: all parts read it.

Teams, projects, billing accounts and models are those of the demo company, so that live requests land in its budgets;
rates and sizes are such that a live day costs about what its simulated days cost.
"""

from dataclasses import dataclass
from decimal import Decimal

from routing.desired import DesiredState, ResidencyRule, Route, Target, Tier

ORCHESTRATOR = "edge"
# How telemetry names this gateway as its source.
SOURCE = "edge"


@dataclass(frozen=True)
class Pool:
    """A stub provider. latency_ms: median at an output of 200 tokens."""

    name: str
    provider: str
    region: str
    residency: str
    billing_account_id: str
    latency_ms: float


@dataclass(frozen=True)
class Stream:
    """One project's requests: how many a second on average, how large."""

    team: str
    project: str
    model: str
    per_second: float
    prompt_tokens: int
    output_tokens: int

    @property
    def key(self) -> str:
        """The name of its API key."""
        return f"{self.project}-live"


@dataclass(frozen=True)
class ContractPrice:
    """What the company has agreed with a provider; dollars per million tokens."""

    provider: str
    model: str
    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal

    @property
    def usual_usd_per_mtok(self) -> Decimal:
        """Of a million tokens of the demo's usual mix: 85 in the hundred are input."""
        return (self.input_usd_per_mtok * 85 + self.output_usd_per_mtok * 15) / 100


POOLS = (
    Pool("aws-frankfurt", "aws", "eu-central-1", "eu", "400000000001", 220.0),
    Pool("azure-sweden", "azure", "swedencentral", "eu", "88112233", 340.0),
    Pool("gcp-iowa", "gcp", "us-central1", "us", "01AF3C-77B2D0-9E4411", 520.0),
)

STREAMS = (
    Stream("claims", "claims-triage", "claude-sonnet-4.5", 1.5, 1000, 170),
    Stream("claims", "claims-triage", "claude-haiku-4.5", 0.5, 900, 160),
    Stream("policy-service", "policy-chat", "claude-haiku-4.5", 1.0, 1200, 230),
    Stream("payments", "dispute-desk", "claude-sonnet-4.5", 0.5, 500, 100),
    Stream("payments", "payment-routing", "claude-haiku-4.5", 0.5, 1000, 200),
    Stream("devex", "code-assistant", "claude-sonnet-4.5", 0.5, 2000, 360),
    Stream("devex", "ci-review", "claude-haiku-4.5", 0.4, 1800, 300),
)

# The dearer pools answer sooner. AWS is at its public price for requests that stay in a region.
PRICES = (
    ContractPrice("aws", "claude-sonnet-4.5", Decimal("3.3"), Decimal("16.5")),
    ContractPrice("aws", "claude-haiku-4.5", Decimal("1.1"), Decimal("5.5")),
    ContractPrice("azure", "claude-sonnet-4.5", Decimal("2.7"), Decimal("13.5")),
    ContractPrice("gcp", "claude-sonnet-4.5", Decimal("2.1"), Decimal("10.5")),
    ContractPrice("azure", "claude-haiku-4.5", Decimal("0.9"), Decimal("4.5")),
    ContractPrice("gcp", "claude-haiku-4.5", Decimal("0.7"), Decimal("3.5")),
)


def targets(ports: dict[str, int], host: str = "127.0.0.1") -> tuple[Target, ...]:
    """The pools where they listen. ports: by pool name."""
    return tuple(
        Target(
            name=pool.name,
            provider=pool.provider,
            region=pool.region,
            endpoint=f"http://{host}:{ports[pool.name]}",
            residency=pool.residency,
            attributes=_attributes(pool),
        )
        for pool in POOLS
    )


def _attributes(pool: Pool) -> tuple[tuple[str, str], ...]:
    """The account that it is billed to, and what it charges, as the loop reads it."""
    prices = [each for each in PRICES if each.provider == pool.provider]
    named = {f"usd_per_mtok:{each.model}": f"{each.usual_usd_per_mtok:f}" for each in prices}
    return tuple(sorted({"billing_account_id": pool.billing_account_id, **named}.items()))


def first_snapshot(ports: dict[str, int]) -> DesiredState:
    """What the gateway starts with: most at the fast and dear pool, customers' chats in the EU only."""
    fast, middle, cheap = (pool.name for pool in POOLS)
    everywhere = Tier.of({fast: 700_000, middle: 200_000, cheap: 100_000})
    in_the_eu = Tier.of({fast: 750_000, middle: 250_000})
    return DesiredState(
        ORCHESTRATOR,
        0,
        targets(ports),
        (
            Route("claude-sonnet-4.5", (everywhere,)),
            Route("claude-haiku-4.5", (everywhere,)),
            Route("claude-haiku-4.5", (in_the_eu,), team="policy-service"),
        ),
        residency_rules=(ResidencyRule(frozenset({"eu"}), team="policy-service", model="claude-haiku-4.5"),),
    )
