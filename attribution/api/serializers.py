"""The shape of answers: rendered from the selectors' values, and described for the OpenAPI document.

Amounts are exact decimals as text, without an exponent; None is 'unknown', with the reason in the field's description.
"""

from decimal import Decimal

from rest_framework import serializers

DECIMAL_PATTERN = r"^-?[0-9]+(\.[0-9]+)?$"


def exact(value: Decimal | None) -> str | None:
    """All digits of `value`, without an exponent and without zeros that say nothing."""
    if value is None:
        return None
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


class ExactField(serializers.RegexField):
    """A decimal as text."""

    def __init__(self, help_text: str, *, allow_null: bool = True) -> None:
        super().__init__(regex=DECIMAL_PATTERN, help_text=help_text, allow_null=allow_null)


class ProblemFieldSerializer(serializers.Serializer[None]):
    field = serializers.CharField(help_text="the parameter, or 'body'")
    message = serializers.CharField()
    fix = serializers.CharField(help_text="what to write instead")


class ProblemSerializer(serializers.Serializer[None]):
    type = serializers.CharField(help_text="a stable name of the kind of problem")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="what to do")
    # The name is RFC 9457's habit; the framework has a property of that name, which is never used here.
    errors = ProblemFieldSerializer(many=True, required=False)  # type: ignore[assignment]


class SnapshotSerializer(serializers.Serializer[None]):
    availability = serializers.ChoiceField(choices=["empty", "ready"], help_text="empty: nothing is attributed yet")
    fingerprint = serializers.CharField(allow_blank=True, help_text="changes exactly when the figures may have")
    commit_seq = serializers.IntegerField(allow_null=True, help_text="the last commit of the lake that is in it")
    built_at = serializers.DateTimeField(allow_null=True)


class AmountsSerializer(serializers.Serializer[None]):
    cost = ExactField("settled bill on the asked basis; null: the bill doesn't say it on this basis")
    estimated_cost = ExactField("usage of days that no settled bill covers, priced by the book, in USD; null: none")
    uncounted_cost = ExactField("what a still moving bill says of those days; never added; null: nothing")
    total = ExactField("cost + estimated_cost")
    unknown_parts = serializers.IntegerField(help_text="ledger parts that cost leaves out as unknown on this basis")
    attributed_cost = ExactField("the part of cost that has an owner; null: none")
    unattributed_cost = ExactField("the part of cost that has none; its reason is a dimension; null: none")
    metered_tokens = serializers.IntegerField(allow_null=True, help_text="tokens of all buckets; null: not known")


class GroupedSerializer(serializers.Serializer[None]):
    bucket = serializers.DateField(allow_null=True, help_text="first day; null with granularity=total")
    currency = serializers.CharField()
    group = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="dimension -> value; null: rows without a value"
    )


class CostRowSerializer(GroupedSerializer, AmountsSerializer):
    pass


class CurrencyTotalSerializer(AmountsSerializer):
    currency = serializers.CharField()


class PageSerializer(serializers.Serializer[None]):
    snapshot = SnapshotSerializer()
    next_after = serializers.CharField(allow_null=True, help_text="'after' of the next page; null on the last")
    next = serializers.CharField(allow_null=True, help_text="address of the next page")


class CostsSerializer(PageSerializer):
    rows = CostRowSerializer(many=True)
    totals = CurrencyTotalSerializer(many=True, help_text="over all pages, by currency")


class TokensSerializer(serializers.Serializer[None]):
    input_uncached = serializers.IntegerField(allow_null=True)
    cache_read = serializers.IntegerField(allow_null=True)
    cache_write_5m = serializers.IntegerField(allow_null=True)
    cache_write_1h = serializers.IntegerField(allow_null=True)
    output = serializers.IntegerField(allow_null=True)


class RatesSerializer(serializers.Serializer[None]):
    input_uncached = ExactField("null where there are no tokens")
    cache_read = ExactField("null where there are no tokens")
    cache_write_5m = ExactField("null where there are no tokens")
    cache_write_1h = ExactField("null where there are no tokens")
    output = ExactField("null where there are no tokens")


class UnitCostRowSerializer(GroupedSerializer):
    attributed_cost = ExactField("all attributed, settled cost of the group")
    tokens = TokensSerializer(help_text="tokens of lines that are priced by tokens, by bucket")
    output_tokens = serializers.IntegerField(allow_null=True, help_text="with those that capacity served")
    all_tokens = serializers.IntegerField(allow_null=True, help_text="all buckets, with those that capacity served")
    micros_per_token = RatesSerializer(
        help_text="millionths of the currency per token: the cost of a bucket's lines / its tokens"
    )
    micros_per_output_token = ExactField("millionths of the currency: attributed_cost / output_tokens")
    per_million_tokens = ExactField("blended, in the currency: attributed_cost / all_tokens x 1,000,000")


class UnitCostsSerializer(PageSerializer):
    rows = UnitCostRowSerializer(many=True)


class ReconciliationRowSerializer(serializers.Serializer[None]):
    provider = serializers.CharField()
    billing_account_id = serializers.CharField()
    billing_period = serializers.CharField()
    currency = serializers.CharField()
    billed = ExactField("the raw files' own sum, taken before anything was mapped", allow_null=False)
    attributed = ExactField("the ledger's parts with an owner", allow_null=False)
    unattributed = serializers.DictField(child=serializers.CharField(), help_text="reason -> amount")
    difference = ExactField("billed - attributed - unattributed; anything but 0 is a defect", allow_null=False)


class ReconciliationSerializer(serializers.Serializer[None]):
    rows = ReconciliationRowSerializer(many=True)
