"""Who gets what: unknown people, duplicates, audiences, paused campaigns, personal values."""

import pytest
from emulator_support import ARCHIVED, GOLD_ONLY, PAUSED, WEEKLY

GOLD = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}


def test_one_identity_per_person(strict, caller):
    caller.to(
        {"external_user_id": "u-1"},
        {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}},
        {"email": "AOIFE@example.com", "prioritization": ["identified"]},
    )
    assert strict.deliveries() == {
        "external_user_id:u-1": 1,
        "user_alias:crm_id:crm-1001": 1,
        "external_user_id:u-2": 1,
    }


def test_integer_and_text_are_the_same_person(braze, caller):
    caller.to(123)
    caller.to("123")
    assert braze.deliveries() == {"external_user_id:123": 2}


def test_an_integer_finds_a_known_person(strict, caller):
    strict.add_users([{"external_id": "123", "first_name": "Ana"}, {"external_id": 456}])
    caller.to(123, "456", "123")
    assert strict.deliveries() == {"external_user_id:123": 1, "external_user_id:456": 1}


def test_everyone_is_known(braze, caller):
    caller.to(
        "anybody",
        {"user_alias": {"alias_label": "a", "alias_name": "b"}},
        {"email": "some@one.example", "prioritization": ["identified"]},
        {"email": "nonsense", "prioritization": ["identified"]},
    )
    assert braze.deliveries() == {
        "external_user_id:anybody": 1,
        "user_alias:a:b": 1,
        "email:some@one.example": 1,
    }


def test_unknown_people_are_skipped_silently(strict, caller):
    answer = caller.to("nobody", {"user_alias": {"alias_label": "a", "alias_name": "b"}}, "u-1")
    assert set(answer.json()) == {"message", "dispatch_id"}
    assert strict.deliveries() == {"external_user_id:u-1": 1}


def test_people_are_created_only_on_request(strict, caller):
    fields = {"external_user_id": "u-new", "attributes": {"first_name": "Noa", "email": "noa@example.com"}}
    caller.to(fields)
    assert strict.deliveries() == {}
    caller.to({**fields, "send_to_existing_only": False})
    caller.to({"email": "noa@example.com", "prioritization": ["identified"]})
    assert strict.deliveries() == {"external_user_id:u-new": 2}
    assert strict.messages()[0]["name"] == "Noa"


def test_attributes_are_written_before_the_send(strict, caller):
    strict.add_users([{"external_id": "x", "visits": 1, "tags": ["a", "b"], "city": "Riga"}])
    strict.add_campaign(
        "c", message={"body": "{{${first_name}}}|{{custom_attribute.${visits}}}|{{${tags}}}|{{${city}|default:'-'}}"}
    )
    changes = {"first_name": "Ana", "visits": {"inc": 2}, "tags": {"remove": ["a"]}, "city": None}
    caller.to({"external_user_id": "x", "attributes": changes}, campaign_id="c")
    assert strict.messages()[-1]["body"] == "Ana|3|['b']|-"


def test_the_last_of_two_entries_wins(braze, caller):
    caller.to(
        {"external_user_id": "7", "trigger_properties": {"offer": "first"}},
        {"external_user_id": 7, "trigger_properties": {"offer": "last"}},
    )
    assert braze.deliveries() == {"external_user_id:7": 1}
    assert braze.messages()[0]["properties"] == {"offer": "last"}


def test_two_entries_with_one_address_are_one_email(strict, caller):
    strict.add_users(
        [{"external_id": "a", "email": "same@example.com"}, {"external_id": "b", "email": "same@example.com"}]
    )
    caller.to("a", "b")
    assert strict.deliveries() == {"external_user_id:b": 1}


@pytest.mark.parametrize(
    ("prioritization", "reached"),
    [
        (["identified"], None),
        (["unidentified"], "user_alias:l:n"),
        (["most_recently_updated"], "external_user_id:b"),
        (["least_recently_updated"], "user_alias:l:n"),
        (["identified", "least_recently_updated"], "external_user_id:a"),
    ],
)
def test_an_address_of_several_people(strict, caller, prioritization, reached):
    email = "same@example.com"
    strict.add_users(
        [
            {"aliases": [{"alias_label": "l", "alias_name": "n"}], "email": email},
            {"external_id": "a", "email": email},
            {"external_id": "b", "email": email},
        ]
    )
    answer = caller.to({"email": email, "prioritization": prioritization})
    assert answer.status_code == 201
    assert strict.deliveries() == ({reached: 1} if reached else {})


def test_personal_values_override_common_ones(braze, caller):
    caller.to({"external_user_id": "1", "trigger_properties": {"b": 2}}, "2", trigger_properties={"a": 1, "b": 1})
    assert [message["properties"] for message in braze.messages()] == [{"a": 1, "b": 2}, {"a": 1, "b": 1}]


@pytest.mark.parametrize(
    ("campaign", "word"), [(PAUSED, "paused"), (ARCHIVED, "archived"), ("d", "draft"), ("s", "stopped")]
)
def test_a_campaign_that_does_not_send(braze, caller, campaign, word):
    braze.add_campaign("d", state="draft")
    braze.add_campaign("s", state="stopped")
    answer = caller.to("u-1", campaign_id=campaign)
    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert word in answer.json()["notice"]
    assert braze.deliveries() == {}


def test_one_dispatch_id_per_call(braze, caller):
    first = caller.to("1", "2").json()["dispatch_id"]
    second = caller.to("3").json()["dispatch_id"]
    assert [message["dispatch_id"] for message in braze.messages()] == [first, first, second]


def test_a_broadcast_reaches_everybody_known(braze, caller):
    answer = caller.send(broadcast=True)
    assert answer.json()["send_id"]
    assert len(braze.deliveries()) == 4, "all but the one who has unsubscribed"


def test_a_given_send_id_comes_back(caller):
    assert caller.to("1", send_id="mine").json()["send_id"] == "mine"
    assert "send_id" not in caller.to("1").json()


def test_the_dashboard_audience_narrows_every_send(strict, caller):
    caller.to("u-1", "u-2", campaign_id=GOLD_ONLY)
    assert strict.deliveries() == {"external_user_id:u-1": 1}
    caller.send(campaign_id=GOLD_ONLY, broadcast=True)
    assert strict.deliveries() == {
        "external_user_id:u-1": 2,
        "external_user_id:u-3": 1,
        "user_alias:crm_id:crm-1001": 1,
    }


def test_recipients_and_an_audience_intersect(strict, caller):
    caller.to("u-1", "u-2", audience=GOLD)
    assert strict.deliveries() == {"external_user_id:u-1": 1}


def custom(comparison, value=None, name="field"):
    return {"custom_attribute": {"custom_attribute_name": name, "comparison": comparison, "value": value}}


@pytest.mark.parametrize(
    ("audience", "value", "reached"),
    [
        (custom("equals", "a"), "a", True),
        (custom("not_equal", "a"), "a", False),
        (custom("not_equal", "a"), None, True),
        (custom("matches_regex", "^a+$"), "aaa", True),
        (custom("does_not_match_regex", "^a+$"), "aaa", False),
        (custom("matches_regex", "(?<x>"), "aaa", False),
        (custom("does_not_match_regex", "(?<x>"), "aaa", False),
        (custom("exists"), 0, True),
        (custom("does_not_exist"), None, True),
        (custom("includes_value", "x"), ["x", "y"], True),
        (custom("does_not_include_value", "x"), ["x"], False),
        (custom("greater_than", 3), 3, False),
        (custom("greater_than_or_equal_to", 3), 3, True),
        (custom("less_than", 3), "text", False),
        (custom("less_than_or_equal_to", 3), 2.5, True),
        (custom("after", "2020-01-01T00:00:00Z"), "2020-01-02", True),
        (custom("before", "2020-01-01T00:00:00Z"), "2020-01-02", False),
        (custom("greater_than_x_days_ago", 2), "2020-01-02", True),
        (custom("less_than_x_days_ago", 2), "2020-01-02", False),
        (custom("greater_than_x_days_in_the_future", 2), "2100-01-01", True),
        (custom("less_than_x_days_in_the_future", 2), "2100-01-01", False),
        ({"AND": [custom("exists"), custom("equals", 1)]}, 1, True),
        ({"AND": [custom("exists"), custom("equals", 1)]}, 2, False),
        ({"OR": [custom("equals", 2), {"AND": [custom("equals", 1)]}]}, 1, True),
        ({"email_subscription_status": {"comparison": "is", "value": "subscribed"}}, 1, True),
        ({"push_subscription_status": {"comparison": "is_not", "value": "subscribed"}}, 1, False),
        ({"last_used_app": {"comparison": "after", "value": "2019-07-22T13:17:55+0000"}}, 1, False),
    ],
)
def test_audience_filters(braze, caller, audience, value, reached):
    braze.reset({"users": [{"external_id": "x", "field": value}]})
    assert caller.send(audience=audience).status_code == 201
    assert bool(braze.deliveries()) is reached


def test_messages_are_personal(strict, caller):
    caller.to({"external_user_id": "u-2", "trigger_properties": {"offer": "50 %"}})
    message = strict.messages()[-1]
    assert message["subject"] == "Aoife, 50 % is waiting"
    assert "Hi Aoife,\n\nyour offer this week: 50 %." in message["body"]
    assert (message["name"], message["channel"], message["campaign_id"]) == ("Aoife O'Brien", "email", WEEKLY)


def test_placeholders(braze, caller):
    template = (
        '{{${user_id}}} {{ ${first_name} | default: "you" }} {{api_trigger_properties.${order}.items.number}}'
        "{{api_trigger_properties.${missing}}} {{custom_attribute.${tier} | default: 'no tier'}} {{ untouched }}"
    )
    braze.add_campaign("c", name="Test", message={"subject": template})
    caller.to({"external_user_id": "9", "trigger_properties": {"order": {"items": {"number": 3}}}}, campaign_id="c")
    assert braze.messages()[-1]["subject"] == "9 you 3 no tier {{ untouched }}"
