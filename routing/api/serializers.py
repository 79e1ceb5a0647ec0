"""The shape of changes and orchestrators in the API, and of what a caller sends."""

from rest_framework import serializers

Base = serializers.Serializer


class DifferenceSerializer(Base[None]):
    kind = serializers.CharField(help_text="target, route, weight, tiers, served_model, block, quota, residency_rule")
    subject = serializers.CharField()
    before = serializers.CharField(allow_null=True, help_text="null: was not there")
    after = serializers.CharField(allow_null=True, help_text="null: is not there any more")
    words = serializers.CharField()


class StepSerializer(Base[None]):
    status = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True, help_text="null: not reached")
    by = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)


class ChangeRowSerializer(Base[None]):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="as people say it: CH-214")
    title = serializers.CharField()
    orchestrator = serializers.CharField()
    team = serializers.CharField(allow_null=True, help_text="whose traffic alone it touches; null: the organisation's")
    status = serializers.CharField(
        help_text="proposed, approved, accepted, live, effective; or drifted, rejected, failed, rolled_back, "
        "superseded, expired"
    )
    kind = serializers.CharField(help_text="decision, plan, person, rollback, period_turn, withdrawal, drift")
    reference = serializers.CharField(allow_blank=True, help_text="what asked for it: budget:12")
    words = serializers.CharField(allow_blank=True, help_text="why, in words")
    proposed_by = serializers.CharField()
    proposed_at = serializers.DateTimeField()
    generation = serializers.IntegerField(allow_null=True, help_text="null: not queued for its push")
    approval = serializers.ChoiceField(choices=["none", "standing", "one", "two"])
    approvals = serializers.IntegerField(help_text="persons who said yes")
    approvals_needed = serializers.IntegerField()
    effect_unproven = serializers.BooleanField(help_text="live, and too little traffic to prove more")
    waits_for = serializers.CharField(allow_blank=True, help_text="why it is not pushed though it is approved")
    proof = serializers.CharField(allow_blank=True, help_text="what the last look said")
    is_standing = serializers.BooleanField(help_text="the one that its orchestrator should hold now")
    rolled_back_by = serializers.IntegerField(allow_null=True)
    steps = StepSerializer(many=True)


class WeightSerializer(Base[None]):
    target = serializers.CharField()
    provider = serializers.CharField(allow_blank=True)
    region = serializers.CharField(allow_blank=True)
    before_ppm = serializers.IntegerField()
    wanted_ppm = serializers.IntegerField()
    observed_ppm = serializers.IntegerField(allow_null=True, help_text="since it went live; null: nothing counted")
    requests = serializers.IntegerField()


class RouteSerializer(Base[None]):
    model = serializers.CharField()
    team = serializers.CharField(allow_null=True)
    served_model = serializers.CharField(allow_null=True)
    requests = serializers.IntegerField(help_text="counted since it went live")
    weights = WeightSerializer(many=True)


class GuardSerializer(Base[None]):
    name = serializers.CharField()
    unit = serializers.CharField(help_text="'%': figures in parts per million; 'ms'")
    limit = serializers.IntegerField(allow_null=True)
    before = serializers.IntegerField(allow_null=True)
    now = serializers.IntegerField(allow_null=True)
    worse = serializers.BooleanField(help_text="it is taken back because of this")
    words = serializers.CharField()


class DryRunSerializer(Base[None]):
    at = serializers.DateTimeField()
    accepts = serializers.BooleanField()
    problems = serializers.ListField(child=serializers.CharField())
    steps = serializers.ListField(child=serializers.CharField())


class ApprovalSerializer(Base[None]):
    person = serializers.CharField()
    at = serializers.DateTimeField()
    note = serializers.CharField(allow_blank=True)


class ChangeSerializer(ChangeRowSerializer):
    inputs = serializers.DictField(help_text="what the decision rests on; numbers as text")
    approval_because = serializers.CharField(allow_blank=True, help_text="why it needs a yes")
    yeses = ApprovalSerializer(many=True)
    history = StepSerializer(many=True)
    differences = DifferenceSerializer(many=True)
    routes = RouteSerializer(many=True)
    guards = GuardSerializer(many=True)
    dry_run = DryRunSerializer(allow_null=True, help_text="null: not asked yet")
    rolls_back = serializers.IntegerField(allow_null=True)
    base_generation = serializers.IntegerField(help_text="what it builds on; 0: nothing")


class ChangesSerializer(Base[None]):
    rows = ChangeRowSerializer(many=True)
    next_after = serializers.IntegerField(allow_null=True)


class OrchestratorSerializer(Base[None]):
    name = serializers.CharField()
    kind = serializers.CharField()
    generation = serializers.IntegerField(help_text="the one that it accepted last; 0: none yet")
    state = serializers.ChoiceField(choices=["unknown", "ok", "drifted", "unreachable"])
    state_words = serializers.CharField(allow_blank=True)
    state_since = serializers.DateTimeField(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    is_enabled = serializers.BooleanField()
    drift = DifferenceSerializer(many=True, help_text="wanted against held; for who sees the whole organisation")
    absent = serializers.DictField(child=serializers.CharField(), help_text="what it can't do, and why")


class StopSerializer(Base[None]):
    at = serializers.DateTimeField()
    by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    resumed_at = serializers.DateTimeField(allow_null=True)
    resumed_by = serializers.CharField(allow_blank=True)


class LoopSerializer(Base[None]):
    frozen = serializers.BooleanField(help_text="all enforcement is stopped")
    last_stop = StopSerializer(allow_null=True)
    last_tick = serializers.DateTimeField(allow_null=True)


class OrchestratorsSerializer(Base[None]):
    rows = OrchestratorSerializer(many=True)
    loop = LoopSerializer()


class NoteSerializer(Base[None]):
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class ReasonSerializer(Base[None]):
    reason = serializers.CharField(max_length=1000, help_text="for everybody who asks later")


class OptionalReasonSerializer(Base[None]):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1000)


class GenerationSerializer(OptionalReasonSerializer):
    generation = serializers.IntegerField(min_value=1, max_value=2**62)


class DriftDecisionSerializer(OptionalReasonSerializer):
    decision = serializers.ChoiceField(
        choices=["overwrite", "keep"], help_text="overwrite: write again what Weir wants; keep: what is there counts"
    )
