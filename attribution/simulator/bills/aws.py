"""AWS: CUR 2.0 lines of the payer, daily, with a Compute Savings Plan on GPU machines and a reserved database.

Column meanings: docs.aws.amazon.com/cur (line item details). Costs are doubles there, so each here fits 15 digits.
"""

import json
from datetime import date, timedelta

from attribution.simulator.bills.lines import (
    Bill,
    Reading,
    atto,
    instant,
    month_end,
    month_of,
    month_start,
    per,
    post_whole,
    token,
    usd,
)
from attribution.simulator.books import Books, Cell, Pool, settle_capacity
from attribution.simulator.company import BUCKETS, OUTPUT, Company, columns

COLUMNS = tuple(row["name"] for row in columns("aws_cur2_columns.csv"))
DOUBLES = frozenset(row["name"] for row in columns("aws_cur2_columns.csv") if row["type"] == "double")
MAPS = frozenset(("product", "resource_tags", "cost_category", "tags", "discount"))

_PLAN = "arn:aws:savingsplans::400000000001:savingsplan/5b0c7a52-1d3e-4a6f-9a53-2f64a1d3b9c1"
_RESERVATION = "arn:aws:rds:us-east-1:400000000012:reserved-instances/ri-2026-02-11"
# g5.12xlarge, us-west-2, Linux; the plan's rate; what the plan commits an hour (the rest of it goes unused).
_GPU_ON_DEMAND, _GPU_PLAN_RATE, _PLAN_HOURLY = atto("5.672"), atto("3.6868"), atto("3.8")
_GPU_EXTRA_HOURS = 40  # machine hours of a weekday beyond the Savings Plan
_DB_ON_DEMAND, _DB_RESERVED, _DB_COUNT = atto("0.956"), atto("0.628"), 3

# Daily lines of the rest of the company: unit, product code, name, usage type, operation, unit of price, rate, amount.
_OTHER = (
    (
        "insurance",
        "AmazonS3",
        "Amazon Simple Storage Service",
        "USE1-TimedStorage-ByteHrs",
        "StandardStorage",
        "GB-Mo",
        "0.023",
        1320,
    ),
    (
        "banking",
        "AmazonEC2",
        "Amazon Elastic Compute Cloud",
        "BoxUsage:m6i.xlarge",
        "RunInstances",
        "Hrs",
        "0.192",
        144,
    ),
    (
        "technology",
        "AmazonEC2",
        "Amazon Elastic Compute Cloud",
        "BoxUsage:c7g.large",
        "RunInstances",
        "Hrs",
        "0.0725",
        48,
    ),
    (
        "technology",
        "AmazonEC2",
        "Amazon Elastic Compute Cloud",
        "EBS:VolumeUsage.gp3",
        "CreateVolume-Gp3",
        "GB-Mo",
        "0.08",
        130,
    ),
    (
        "insurance",
        "AmazonEC2",
        "Amazon Elastic Compute Cloud",
        "DataTransfer-Out-Bytes",
        "RunInstances",
        "GB",
        "0.09",
        61,
    ),
    (
        "banking",
        "AWSQueueService",
        "Amazon Simple Queue Service",
        "Requests-RBP",
        "SendMessage",
        "Requests",
        "0.0000004",
        2_150_000,
    ),
)


class AwsBill(Bill):
    """Collects the payer's lines."""

    def __init__(self, company: Company) -> None:
        super().__init__()
        self._account = company.accounts["aws"]
        self._count = 0

    def day(self, books: Books, day: date, readings: list[Reading], pool: Pool) -> None:
        for reading in readings:
            self._tokens(day, reading)
        self._gpu(books, day, pool)
        self._database(books, day)
        self._rest(books, day)

    def month(self, books: Books, period: str, *, final: bool) -> None:
        """Lines of a month as a whole; taxes and the support plan come when it closes."""
        self._reserved_fee(books, period)
        credit = self._base(month_start(period), "technology", "Credit", "AmazonBedrock")
        credit |= {
            "line_item_line_item_description": "AWS Activate credit for Amazon Bedrock",
            "product": _product("Amazon Bedrock", ""),
        }
        self._whole(books, period, credit, atto("-12.5"), "shared_unassigned")
        if not final:
            return
        for code, name, amount, reason in (
            ("AmazonBedrock", "Amazon Bedrock", "4.37", "shared_unassigned"),
            ("AmazonEC2", "Amazon Elastic Compute Cloud", "61.22", "other_scope"),
        ):
            tax = self._base(month_start(period), "technology", "Tax", code)
            tax |= {
                "line_item_tax_type": "VAT",
                "line_item_line_item_description": f"Tax for product code {code}",
                "product": _product(name, ""),
            }
            tax["line_item_usage_end_date"] = _time(month_end(period))
            self._whole(books, period, tax, atto(amount), reason)
        support = self._base(month_start(period), "technology", "Fee", "AWSSupportBusiness")
        support |= {
            "line_item_line_item_description": "AWS Support (Business)",
            "line_item_usage_type": "Dollar",
            "product": _product("AWS Support (Business)", "us-east-1"),
            "line_item_usage_end_date": _time(month_end(period)),
        }
        self._whole(books, period, support, atto("187.4"), "other_scope")

    def refund(self, day: date, cell: Cell) -> None:
        """A goodwill refund on one day's generated tokens of a model: money back, no tokens."""
        period, price = month_of(day), cell.band.prices[OUTPUT]
        tokens = sum(counts[OUTPUT] for counts in cell.billed.values())
        if price is None or tokens < 10:
            return
        amount = -(tokens // 10) * price
        offer_meter = cell.band.meters[OUTPUT]
        row = self._base(day, "insurance", "Refund", "AmazonBedrock")
        row |= {
            "line_item_usage_type": offer_meter,
            "line_item_operation": "InvokeModelInference",
            "line_item_line_item_description": "Refund: elevated error rate",
            "line_item_usage_amount": "0",
            "pricing_unit": "1K tokens",
            "product_region_code": "us-east-1",
            "product": _product("Amazon Bedrock", "us-east-1"),
        }
        self._cost(row, amount, amount)
        self.add(period, row, amount, amount)
        cell.adjustments.append((OUTPUT, period, amount, amount))

    def _tokens(self, day: date, reading: Reading) -> None:
        offer, band = reading.offer, reading.offer.bands[reading.band]
        for bucket, tokens in enumerate(reading.tokens):
            price = band.prices[bucket]
            if not tokens or price is None:
                continue
            code = token(offer.product, length=25) if offer.marketplace else "AmazonBedrock"
            row = self._base(day, reading.unit, "Usage", code)
            row |= {
                "line_item_usage_type": band.meters[bucket],
                "line_item_operation": "Usage" if offer.marketplace else "InvokeModelInference",
                "line_item_line_item_description": _description(
                    offer.product, offer.region, BUCKETS[bucket], offer.unit
                ),
                "line_item_usage_amount": per(tokens, offer.tokens_per_unit),
                "pricing_unit": offer.unit,
                "pricing_term": "OnDemand",
                "product": _product(offer.product, offer.region),
                "product_region_code": offer.region,
                "product_servicecode": code,
                "product_sku": token("sku", band.meters[bucket], length=16).upper(),
            }
            if offer.marketplace:
                row |= {"bill_billing_entity": "AWS Marketplace", "line_item_legal_entity": "Anthropic, PBC"}
            if reading.resource:
                row["line_item_resource_id"] = profile_arn(self._sub(reading.unit)[0], offer.region, reading.resource)
                row["resource_tags"] = _tags(reading.owner)
            rate = usd(price * offer.tokens_per_unit)
            row |= {
                "line_item_unblended_rate": rate,
                "line_item_blended_rate": rate,
                "pricing_public_on_demand_rate": rate,
            }
            self._cost(row, tokens * price, tokens * price)
            self.add(month_of(day), row, tokens * price, tokens * price)

    def _gpu(self, books: Books, day: date, pool: Pool) -> None:
        """One machine all day under the Savings Plan; on weekdays more of them, on demand."""
        period = month_of(day)
        covered, at_rate, committed = 24 * _GPU_ON_DEMAND, 24 * _GPU_PLAN_RATE, 24 * _PLAN_HOURLY
        row = self._machine(day, "SavingsPlanCoveredUsage", 24, "i-0a41c2e9b7d60f1aa")
        row |= {
            "savings_plan_savings_plan_rate": usd(_GPU_PLAN_RATE),
            "savings_plan_savings_plan_effective_cost": usd(at_rate),
        }
        row |= {"savings_plan_savings_plan_a_r_n": _PLAN, "pricing_term": "OnDemand"}
        self._cost(row, covered, covered)
        self.add(period, row, 0, at_rate)
        settle_capacity(books, pool, period, (0, at_rate))
        negation = self._machine(day, "SavingsPlanNegation", 24, "i-0a41c2e9b7d60f1aa")
        negation |= {
            "savings_plan_savings_plan_a_r_n": _PLAN,
            "line_item_line_item_description": "SavingsPlanNegation used by AccountId : 400000000013",
        }
        self._cost(negation, -covered, 0)
        self.add(period, negation, 0, 0)
        fee = self._base(day, "technology", "SavingsPlanRecurringFee", "ComputeSavingsPlans")
        fee |= {
            "line_item_usage_type": "ComputeSP:1yrNoUpfront",
            "line_item_line_item_description": "1 year No Upfront Compute Savings Plan",
            "line_item_usage_amount": "24",
            "product": _product("Savings Plans for AWS Compute usage", ""),
            "product_product_family": "ComputeSavingsPlans",
            "savings_plan_savings_plan_a_r_n": _PLAN,
            "savings_plan_offering_type": "ComputeSavingsPlans",
            "savings_plan_payment_option": "No Upfront",
            "savings_plan_purchase_term": "1yr",
            "savings_plan_total_commitment_to_date": usd(committed),
            "savings_plan_used_commitment": usd(at_rate),
            "savings_plan_recurring_commitment_for_billing_period": usd(committed),
            "savings_plan_amortized_upfront_commitment_for_billing_period": "0",
        }
        self._cost(fee, committed, 0)
        self.add(period, fee, committed, committed - at_rate)
        # A Compute Savings Plan covers any machine: nothing on its own lines says that it is for inference.
        post_whole(books, "aws", period, "other_scope", committed, committed - at_rate)
        if day.weekday() < 5:
            amount = _GPU_EXTRA_HOURS * _GPU_ON_DEMAND
            extra = self._machine(day, "Usage", _GPU_EXTRA_HOURS, "i-0c93d01ea5f7724b1")
            self._cost(extra, amount, amount)
            self.add(period, extra, amount, amount)
            settle_capacity(books, pool, period, (amount, amount))

    def _machine(self, day: date, kind: str, hours: int, instance: str) -> dict[str, str]:
        row = self._base(day, "technology", kind, "AmazonEC2")
        return row | {
            "line_item_usage_type": "USW2-BoxUsage:g5.12xlarge",
            "line_item_operation": "RunInstances",
            "line_item_usage_amount": str(hours),
            "line_item_unblended_rate": usd(_GPU_ON_DEMAND),
            "line_item_availability_zone": "us-west-2b",
            "line_item_resource_id": instance,
            "line_item_line_item_description": "$5.672 per On Demand Linux g5.12xlarge Instance Hour",
            "pricing_unit": "Hrs",
            "pricing_term": "OnDemand",
            "product": _product("Amazon Elastic Compute Cloud", "us-west-2"),
            "product_product_family": "Compute Instance",
            "product_instance_type": "g5.12xlarge",
            "product_instance_family": "GPU instance",
            "product_region_code": "us-west-2",
            "product_servicecode": "AmazonEC2",
            "resource_tags": json.dumps({"user_pool": "gpu-west"}),
        }

    def _database(self, books: Books, day: date) -> None:
        hours = 24 * (_DB_COUNT - 1)  # one of the reserved databases is switched off
        row = self._db_row(day, "DiscountedUsage")
        row |= {
            "line_item_usage_amount": str(hours),
            "reservation_effective_cost": usd(hours * _DB_RESERVED),
            "pricing_public_on_demand_cost": usd(hours * _DB_ON_DEMAND),
        }
        row |= {
            "reservation_recurring_fee_for_usage": usd(hours * _DB_RESERVED),
            "reservation_amortized_upfront_cost_for_usage": "0",
        }
        row |= {"line_item_unblended_cost": "0", "line_item_blended_cost": "0"}
        self.add(month_of(day), row, 0, hours * _DB_RESERVED)
        post_whole(books, "aws", month_of(day), "other_scope", 0, hours * _DB_RESERVED)

    def _reserved_fee(self, books: Books, period: str) -> None:
        days = (month_end(period) - month_start(period)).days
        fee, unused = days * 24 * _DB_COUNT * _DB_RESERVED, days * 24 * _DB_RESERVED
        row = self._db_row(month_start(period), "RIFee")
        row |= {
            "line_item_usage_amount": str(days * 24 * _DB_COUNT),
            "line_item_usage_end_date": _time(month_end(period)),
            "reservation_unused_quantity": str(days * 24),
            "reservation_unused_recurring_fee": usd(unused),
            "reservation_unused_amortized_upfront_fee_for_billing_period": "0",
            "reservation_amortized_upfront_fee_for_billing_period": "0",
        }
        self._cost(row, fee, 0)
        self.add(period, row, fee, unused)
        post_whole(books, "aws", period, "other_scope", fee, unused)

    def _db_row(self, day: date, kind: str) -> dict[str, str]:
        row = self._base(day, "banking", kind, "AmazonRDS")
        return row | {
            "line_item_usage_type": "InstanceUsage:db.r6g.2xl",
            "line_item_operation": "CreateDBInstance:0014",
            "line_item_line_item_description": "PostgreSQL, db.r6g.2xl reserved instance applied",
            "pricing_unit": "Hrs",
            "pricing_term": "Reserved",
            "product": _product("Amazon Relational Database Service", "us-east-1"),
            "product_region_code": "us-east-1",
            "product_servicecode": "AmazonRDS",
            "reservation_reservation_a_r_n": _RESERVATION,
        }

    def _rest(self, books: Books, day: date) -> None:
        for unit, code, name, usage_type, operation, price_unit, rate, amount in _OTHER:
            row = self._base(day, unit, "Usage", code)
            row |= {
                "line_item_usage_type": usage_type,
                "line_item_operation": operation,
                "line_item_usage_amount": str(amount),
                "line_item_unblended_rate": rate,
                "line_item_line_item_description": f"${rate} per {price_unit} {usage_type}",
                "pricing_unit": price_unit,
                "pricing_term": "OnDemand",
                "product": _product(name, "us-east-1"),
                "product_region_code": "us-east-1",
                "product_servicecode": code,
            }
            self._whole(books, month_of(day), row, atto(rate) * amount, "other_scope")
        if day.day % 9 == 0:  # a meter that nobody has a rule for yet
            row = self._base(day, "technology", "Usage", "AmazonBedrock")
            row |= {
                "line_item_usage_type": "USE1-Orrery2-AnswerUnits",
                "line_item_operation": "InvokeModelInference",
                "line_item_usage_amount": "37",
                "line_item_line_item_description": "$0.014 per answer unit of Orrery 2 in US East (N. Virginia)",
                "pricing_unit": "Units",
                "product": _product("Amazon Bedrock", "us-east-1"),
                "product_region_code": "us-east-1",
                "product_servicecode": "AmazonBedrock",
            }
            self._whole(books, month_of(day), row, 37 * atto("0.014"), "not_understood")

    def _whole(self, books: Books, period: str, row: dict[str, str], amount: int, reason: str) -> None:
        self._cost(row, amount, amount)
        self.add(period, row, amount, amount)
        post_whole(books, "aws", period, reason, amount, amount)

    def _cost(self, row: dict[str, str], unblended: int, on_demand: int) -> None:
        row["line_item_unblended_cost"] = row["line_item_blended_cost"] = _double(unblended)
        row["pricing_public_on_demand_cost"] = _double(on_demand)

    def _sub(self, unit: str) -> tuple[str, str]:
        return self._account.sub_accounts[unit]

    def _base(self, day: date, unit: str, kind: str, code: str) -> dict[str, str]:
        self._count += 1
        period, account = month_of(day), self._sub(unit)
        end = day + timedelta(days=1)
        return {
            "bill_bill_type": "Refund" if kind == "Refund" else "Anniversary",
            "bill_billing_entity": "AWS",
            "bill_billing_period_start_date": _time(month_start(period)),
            "bill_billing_period_end_date": _time(month_end(period)),
            "bill_invoice_id": str(1_700_000_000 + int(period.replace("-", ""))),
            "bill_invoicing_entity": "Amazon Web Services EMEA SARL",
            "bill_payer_account_id": self._account.billing,
            "bill_payer_account_name": self._account.name,
            "identity_line_item_id": token("aws", self._count, day, length=52),
            "identity_time_interval": f"{_time(day)}/{_time(end)}",
            "line_item_currency_code": "USD",
            "line_item_legal_entity": "Amazon Web Services EMEA SARL",
            "line_item_line_item_type": kind,
            "line_item_product_code": code,
            "line_item_usage_account_id": account[0],
            "line_item_usage_account_name": account[1],
            "line_item_usage_start_date": _time(day),
            "line_item_usage_end_date": _time(end),
            "pricing_currency": "USD",
            "cost_category": "{}",
            "discount": "{}",
            "product": "{}",
            "resource_tags": "{}",
            "tags": "{}",
        }


def profile_arn(account: str, region: str, name: str) -> str:
    """An application inference profile: its tags are on the bill."""
    return f"arn:aws:bedrock:{region}:{account}:application-inference-profile/{token('profile', name, length=12)}"


def _double(amount: int) -> str:
    """An amount that a double holds exactly in its shortest text: at most 15 significant digits."""
    text = usd(amount)
    if len(text.replace(".", "").strip("-0")) > 15:
        raise ValueError(f"{text} has more digits than a double of the CUR keeps")
    return text


def _time(day: date) -> str:
    return f"{instant(day):%Y-%m-%dT%H:%M:%SZ}"


def _product(name: str, region: str) -> str:
    return json.dumps({"product_name": name, "region": region} if region else {"product_name": name})


def _tags(owner: tuple[str, str] | None) -> str:
    return "{}" if owner is None else json.dumps({"user_project": owner[1], "user_team": owner[0]})


def _description(product: str, region: str, bucket: str, unit: str) -> str:
    if unit == "Units":
        return f"AWS Marketplace software usage|{region}|Million {bucket.replace('_', ' ')} Tokens"
    return f"{unit} of {bucket.replace('_', ' ')} for {product} in {region}"
