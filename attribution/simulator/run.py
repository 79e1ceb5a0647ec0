"""Plays the company day by day; writes its bills, its telemetry and the truth. A pure function of the plan.

requests of a day -> telemetry (less what the gateway lost)
                  -> meter readings -> native bill lines
                  -> the books      -> the truth
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from attribution.simulator import deliveries, telemetry, truth
from attribution.simulator.bills.aws import AwsBill
from attribution.simulator.bills.azure import AzureBill
from attribution.simulator.bills.gcp import SPAN, GcpBill, invoice_month
from attribution.simulator.bills.lines import Reading, month_end, month_of, usd
from attribution.simulator.books import Books, Cell, Owner, Pool, settle_cell
from attribution.simulator.company import BUCKETS, Company, company
from attribution.simulator.describe import config, readme
from attribution.simulator.traffic import Request, Surge, Traffic

# The gateway in front of this offer loses all telemetry for some hours of one day.
LOST_OFFER, LOST_DAY, LOST_HOURS = "gpt5mini-zone", 16, (9, 15)
# A cell that the loss hits is short by more than this, so that no tolerance near 1 % hides it.
_SHORT = 0.02
_REFUND_DAY, _CORRECTION_DAY = 15, 20


class BooksDisagree(AssertionError):
    """The simulator's bill and its books differ: a bug here, never a property of the data."""


@dataclass(frozen=True)
class Plan:
    """What to simulate: the days [start, until), bills up to `lag_days` before it, `size` requests a weekday."""

    start: date
    until: date
    seed: int = 1
    size: int = 1500
    lag_days: int = 0
    parquet: bool = False
    surges: tuple[Surge, ...] = ()

    @property
    def billed_until(self) -> date:
        return max(self.start, self.until - timedelta(days=self.lag_days))

    def days(self) -> Iterator[date]:
        return (self.start + timedelta(days=offset) for offset in range((self.until - self.start).days))


def months_before(until: date, months: int) -> date:
    """The first day of the month so that [it, until) holds `months` calendar months, the last maybe not whole."""
    first = (until - timedelta(days=1)).replace(day=1)
    for _ in range(months - 1):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


def simulate(out: Path, plan: Plan, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Writes `out`/{bills,telemetry,truth,config.json,README.md}; returns the manifest of the truth."""
    played = _Play(out, plan, company())
    total = (plan.until - plan.start).days
    for number, day in enumerate(plan.days(), start=1):
        played.day(day)
        if progress is not None:
            progress(number, total)
    return played.finish()


class _Play:
    def __init__(self, out: Path, plan: Plan, the_company: Company) -> None:
        self.out, self.plan, self.company = out, plan, the_company
        self.traffic = Traffic(the_company, plan.seed, plan.size, plan.surges)
        self.books = Books()
        self.bills = self._new_bills()
        # What the newest month looked like when it was delivered first; its books are thrown away.
        self.newest = month_of(max(plan.start, plan.billed_until - timedelta(days=1)))
        self.restated = deliveries.restated_day(self.newest, plan.billed_until)
        self.first_bills = self._new_bills()
        self.tokens: dict[tuple[str, str, str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.counts = {"requests": 0, "failed": 0, "lost": 0}
        self.lost: dict[str, Any] = {}

    def _new_bills(self) -> tuple[AwsBill, AzureBill, GcpBill]:
        return AwsBill(self.company), AzureBill(company=self.company), GcpBill(self.company)

    def day(self, day: date) -> None:
        requests = list(self.traffic.day(day))
        lost = self._lost_ids(day, requests)
        seen = [request for request in requests if request.offer.metered and request.id not in lost]
        path = self.out / "telemetry" / f"requests-{day.isoformat()}.ndjson.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(telemetry.day_file(self.company, day, seen))
        self._count(day, requests, lost)
        if day < self.plan.billed_until:
            self._bill(day, [request for request in requests if not request.failed], lost)

    def _bill(self, day: date, requests: list[Request], lost: frozenset[str]) -> None:
        cells, pools = _cells(day, requests, lost), _pools(requests)
        readings = _readings(requests)
        aws, azure, gcp = self.bills
        aws.day(self.books, day, readings["aws"], pools["gpu-west"])
        azure.day(self.books, day, readings["azure"], pools["ptu-advice"])
        gcp.day(self.books, day, readings["gcp"])
        if month_of(day) == self.newest:
            scratch = Books()
            early = {provider: [self._early(day, reading) for reading in group] for provider, group in readings.items()}
            self.first_bills[0].day(scratch, day, early["aws"], pools["gpu-west"])
            self.first_bills[1].day(scratch, day, early["azure"], pools["ptu-advice"])
        self._special(day, cells)
        for cell in cells.values():
            settle_cell(self.books, cell)

    def _early(self, day: date, reading: Reading) -> Reading:
        """A reading as the first delivery had it: on the restated day, a quarter of the usage was not in yet."""
        return (
            replace(reading, tokens=[count * 3 // 4 for count in reading.tokens]) if day == self.restated else reading
        )

    def _special(self, day: date, cells: dict[tuple[str, int, str], Cell]) -> None:
        aws, _, gcp = self.bills
        if day.day == _REFUND_DAY and (cell := cells.get(("nova-pro", 0, "insurance"))) is not None:
            aws.refund(day, cell)
        if day.day == _CORRECTION_DAY and (cell := cells.get(("gemini-pro", 0, "insurance"))) is not None:
            following = month_end(month_of(day))
            if following < self.plan.billed_until:
                gcp.correction(day, cell, "insurance", month_of(following))

    def _lost_ids(self, day: date, requests: list[Request]) -> frozenset[str]:
        """Requests whose telemetry was lost. The window grows until every cell that it touches is clearly short."""
        if (day - self.plan.start).days != LOST_DAY:
            return frozenset()
        first, last = LOST_HOURS
        served = [request for request in requests if request.offer.id == LOST_OFFER]
        while True:
            lost = frozenset(request.id for request in served if first * 3600 <= request.second < last * 3600)
            cells = _cells(day, [request for request in served if not request.failed], lost)
            gaps = [cell.gap(bucket) for cell in cells.values() for bucket in range(len(BUCKETS))]
            if all(gap == 0 or gap > _SHORT for gap in gaps) or (first, last) == (0, 24):
                break
            first, last = max(0, first - 1), min(24, last + 1)
        self.lost = {
            "day": day.isoformat(),
            "offer": LOST_OFFER,
            "from_hour": first,
            "to_hour": last,
            "requests": sum(request.calls for request in served if request.id in lost),
        }
        return lost

    def _count(self, day: date, requests: list[Request], lost: frozenset[str]) -> None:
        for request in requests:
            metered = request.offer.metered and request.id not in lost
            self.counts["requests"] += request.calls * metered
            self.counts["lost"] += request.calls * (request.id in lost)
            self.counts["failed"] += metered and request.failed
            if request.failed:
                continue
            team, project = _owner(request) or ("", "")
            for bucket, count in zip(BUCKETS, request.tokens, strict=True):
                place = (request.offer.provider, month_of(day), team, project, request.offer.model, bucket)
                sums = self.tokens[place]
                sums[0] += count * metered
                sums[1] += count

    def finish(self) -> dict[str, Any]:
        for period in sorted({month_of(day) for day in self.plan.days() if day < self.plan.billed_until}):
            final = month_end(period) <= self.plan.billed_until
            for bill in self.bills:
                bill.month(self.books, period, final=final)
            if period == self.newest:
                for bill in self.first_bills:
                    bill.month(Books(), period, final=final)
        self._check()
        self._write_bills()
        return self._write_truth()

    def _check(self) -> None:
        totals = self.books.totals()
        for provider, bill in zip(("aws", "azure", "gcp"), self.bills, strict=True):
            periods = set(bill.billed) | {period for name, period in totals if name == provider}
            for period in periods:
                if totals.get((provider, period), (0, 0)) != (bill.billed[period], bill.effective[period]):
                    raise BooksDisagree(
                        f"{provider} {period}: books {totals.get((provider, period))}, bill {bill.billed[period]}"
                    )

    def _write_bills(self) -> None:
        root = self.out / "bills"
        if not self.bills[0].rows:
            return
        deliveries.write_aws(root, self.bills[0], self.first_bills[0], self.newest, parquet=self.plan.parquet)
        deliveries.write_azure(root, self.bills[1], self.first_bills[1], self.newest)
        deliveries.write_gcp(root, self.bills[2])

    def _write_truth(self) -> dict[str, Any]:
        folder = self.out / "truth"
        truth.write_costs(folder, self.books)
        truth.write_tokens(folder, {place: (sums[0], sums[1]) for place, sums in self.tokens.items()})
        manifest = {
            "seed": self.plan.seed,
            "size": self.plan.size,
            "start": self.plan.start.isoformat(),
            "until": self.plan.until.isoformat(),
            "billed_until": self.plan.billed_until.isoformat(),
            "currency": "USD",
            "telemetry": self.counts | {"tokens": self._metered()},
            "lost_telemetry": self.lost,
            "restated": {"billing_period": self.newest, "day": self.restated.isoformat()},
            "totals": [
                {
                    "provider": provider,
                    "billing_period": period,
                    "billed_cost": usd(billed),
                    "effective_cost": usd(effective),
                }
                for (provider, period), (billed, effective) in sorted(self.books.totals().items())
            ],
        }
        truth.write_manifest(folder, manifest)
        (self.out / "config.json").write_text(config(self.company), encoding="utf-8")
        (self.out / "README.md").write_text(readme(manifest), encoding="utf-8")
        return manifest

    def _metered(self) -> dict[str, int]:
        sums = dict.fromkeys(BUCKETS, 0)
        for place, (metered, _) in self.tokens.items():
            sums[place[-1]] += metered
        return sums


def _owner(request: Request) -> Owner:
    return None if request.project.unowned else (request.project.team, request.project.slug)


def _cells(day: date, requests: list[Request], lost: frozenset[str]) -> dict[tuple[str, int, str], Cell]:
    """A day's cells by offer, band and business unit (its sub account)."""
    cells: dict[tuple[str, int, str], Cell] = {}
    for request in requests:
        offer = request.offer
        if offer.pool:
            continue
        place = (offer.id, request.band, request.project.unit)
        cell = cells.get(place)
        if cell is None:
            cell = cells[place] = Cell(offer.provider, offer.model, offer.bands[request.band])
        period = invoice_month(day, request.second // SPAN * SPAN) if offer.provider == "gcp" else month_of(day)
        metered = offer.metered and request.id not in lost
        cell.use(period, _owner(request), request.tokens, proven=bool(request.use.resource), metered=metered)
    return cells


def _pools(requests: list[Request]) -> dict[str, Pool]:
    pools = {"gpu-west": Pool("aws"), "ptu-advice": Pool("azure")}
    for request in requests:
        if request.offer.pool:
            pools[request.offer.pool].use(_owner(request), request.offer.model, request.tokens)
    return pools


def _readings(requests: list[Request]) -> dict[str, list[Reading]]:
    """What the providers' meters counted: AWS and Azure by day, Google by span of hours."""
    readings: dict[tuple[str, int, str, str, int], Reading] = {}
    for request in requests:
        offer, resource = request.offer, request.use.resource
        if offer.pool:
            continue
        start, end = 0, 24 * 3600
        if offer.provider == "gcp":
            start = request.second // SPAN * SPAN
            end = start + SPAN
        place = (offer.id, request.band, request.project.unit, resource, start)
        reading = readings.get(place)
        if reading is None:
            owner = _owner(request) if resource else None
            reading = readings[place] = Reading(offer, request.band, request.project.unit, resource, owner, start, end)
        for bucket, count in enumerate(request.tokens):
            reading.tokens[bucket] += count
        reading.reasoning += request.reasoning
    by_provider: dict[str, list[Reading]] = {"aws": [], "azure": [], "gcp": []}
    for place in sorted(readings):
        by_provider[readings[place].offer.provider].append(readings[place])
    return by_provider
