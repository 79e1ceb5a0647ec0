"""Ownership rules: which wins, when, and what is refused."""

from datetime import date

import pytest

from attribution.capacity import FALLBACK
from attribution.ownership import NOBODY, BadRule, Membership, Rule, RuleBook, as_slug, pool_named_by
from attribution.tokens import TokenUsage

DAY = date(2026, 5, 4)


def proof(position: int, field: str, operator: str = "equals", value: str = "", **owner: str) -> Rule:
    return Rule(position, "proof", field, operator, value, **owner)


def test_the_first_valid_rule_wins_for_each_part_of_the_owner() -> None:
    book = RuleBook(
        (
            proof(20, "tag:team", "value", takes="team"),
            proof(10, "sub_account_id", "equals", "77", team="ops"),
            proof(30, "tag:app", "prefix", "chat-", project="chat", environment="prod"),
        )
    )
    owner = book.owner_of_charge({"tags": '{"app":"chat-7","team":"web"}', "sub_account_id": "77"}, DAY)
    assert (owner.team, owner.project, owner.environment) == ("ops", "chat", "prod")
    assert owner.rules == "sub_account_id=77+tag:app=chat-*"
    other = book.owner_of_charge({"tags": '{"team":"web"}', "sub_account_id": "78"}, DAY)
    assert (other.team, other.project) == ("web", None)


def test_an_environment_alone_is_nobody() -> None:
    book = RuleBook((proof(1, "tag:env", "value", takes="environment"),))
    assert book.owner_of_charge({"tags": '{"env":"prod"}'}, DAY) == NOBODY


@pytest.mark.parametrize(
    "tags", [None, "", "{}", '{"team":""}', '{"team":"  "}', '{"team":null}', '{"Team":"a"}', "[]"]
)
def test_a_missing_or_empty_tag_matches_nothing(tags: str | None) -> None:
    book = RuleBook((proof(1, "tag:team", "value", takes="team"),))
    assert book.owner_of_charge({"tags": tags}, DAY) == NOBODY


def test_events_and_charges_have_rules_of_their_own() -> None:
    book = RuleBook(
        (proof(1, "event:team", "value", takes="team"), proof(2, "resource_id", "prefix", "arn:", team="cloud"))
    )
    assert book.owner_of_event({"team": "a", "resource_id": "arn:1"}, DAY).team == "a"
    assert book.owner_of_charge({"team": "a", "resource_id": "arn:1"}, DAY).team == "cloud"
    assert book.event_fields() == {"team"}
    assert book.charge_fields() == {"resource_id"}


def test_rules_and_placements_hold_in_their_time() -> None:
    book = RuleBook(
        (Rule(1, "proof", "tag:project", "value", takes="project", valid_from=DAY),),
        (
            Membership("chat", "old", valid_to=date(2026, 5, 10)),
            Membership("chat", "new", valid_from=date(2026, 5, 10)),
        ),
    )
    tags = {"tags": '{"project":"chat"}'}
    teams = [book.owner_of_charge(tags, date(2026, 5, day)).team for day in (3, 4, 9, 10)]
    assert teams == [None, "old", "old", "new"]
    assert book.epochs(date(2026, 5, 1), date(2026, 6, 1)) == [
        (date(2026, 5, 1), DAY),
        (DAY, date(2026, 5, 10)),
        (date(2026, 5, 10), date(2026, 6, 1)),
    ]


def test_the_version_changes_only_with_what_can_matter() -> None:
    may = (date(2026, 5, 1), date(2026, 6, 1))
    one = Rule(1, "proof", "tag:a", "value", takes="team")
    later = Rule(2, "proof", "tag:b", "value", takes="team", valid_from=date(2026, 6, 1))
    assert RuleBook((one, later)).version(*may) == RuleBook((one,)).version(*may)
    assert RuleBook((later, one)).version(date(2026, 6, 1), date(2026, 7, 1)) != RuleBook((one,)).version(*may)


def test_a_team_has_one_slug_in_every_spelling() -> None:
    assert {as_slug(name) for name in ("Search Ads", " search-ads", "SEARCH  ADS")} == {"search-ads"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "guess"}, "kind is 'guess'; use proof, manual or platform"),
        ({"operator": "like"}, "operator is 'like'; use equals, prefix or value"),
        ({"field": "colour"}, "unknown field; use tag:<key>"),
        ({"field": "event:colour"}, "unknown field"),
        ({"operator": "value", "takes": ""}, "takes is ''; say which part"),
        ({"value": ""}, "value is empty"),
        ({"team": ""}, "names no owner"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_the_fix(rule: dict[str, str], message: str) -> None:
    good = {"kind": "proof", "field": "tag:a", "operator": "equals", "value": "x", "team": "t"}
    with pytest.raises(BadRule, match=message.replace("?", r"\?")):
        Rule(position=5, **{**good, **rule})


def test_a_resource_names_its_pool() -> None:
    assert pool_named_by('{"pool":"h100"}') == "h100"
    assert pool_named_by('{"team":"a"}') is None


def test_capacity_weighs_a_cached_token_a_tenth_and_a_generated_one_four_times() -> None:
    usage = TokenUsage(input_uncached=3, cache_read=5, cache_write_5m=2, cache_write_1h=1, output=7)
    # In tenths of a prompt token: (3 + 2 + 1) * 10 + 5 * 1 + 7 * 40.
    assert FALLBACK.of(usage) == 345
    assert FALLBACK.of(TokenUsage(output=1)) == 40
