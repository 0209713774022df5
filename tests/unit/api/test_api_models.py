"""Every rule of /campaigns/trigger/send, broken once, and read as the author of a DAG would read it."""

import json
import math

import pytest

from airflow_provider_braze.api.client import BrazeClient
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import BrazeValidationError

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
SECRET = "kim.zebra@example.com"
ROW = ENDPOINTS["campaigns_trigger_send"]


def to(*recipients, **fields):
    return {"campaign_id": CAMPAIGN, "recipients": list(recipients), **fields}


def one(**fields):
    """A request to one recipient whom nothing is wrong with but ``fields``."""
    return to({"external_user_id": SECRET, **fields})


def by_alias(name="crm-1", label="crm", **fields):
    return to({"user_alias": {"alias_name": name, "alias_label": label}, **fields})


def within(audience):
    return {"campaign_id": CAMPAIGN, "audience": audience}


def attribute(**fields):
    return within({"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", **fields}})


def filled(size):
    """Properties of exactly ``size`` bytes as JSON."""
    return {"k": "x" * (size - len('{"k":""}'))}


@pytest.fixture(scope="module")
def client():
    with BrazeClient("https://rest.example.com", "key") as made:
        yield made


def body_of(client, payload):
    return json.loads(client.build(ROW, payload).content)


MANY = [{"external_user_id": f"u-{number}"} for number in range(51)]
BROKEN = {
    "no campaign_id": ({"broadcast": True}, ["campaign_id"]),
    "campaign_id empty": ({"campaign_id": "", "broadcast": True}, ["campaign_id"]),
    "campaign_id no text": ({"campaign_id": 5, "broadcast": True}, ["campaign_id"]),
    "send_id 65 characters": (one() | {"send_id": "s" * 65}, ["send_id", "64"]),
    "send_id not ASCII": (one() | {"send_id": "frühling"}, ["send_id"]),
    "send_id no text": (one() | {"send_id": 7}, ["send_id"]),
    "shared properties over 50 KB": (one() | {"trigger_properties": filled(50_001)}, ["trigger_properties", "50"]),
    "shared properties no object": (one() | {"trigger_properties": [SECRET]}, ["trigger_properties"]),
    "broadcast a text": ({"campaign_id": CAMPAIGN, "broadcast": "true"}, ["broadcast"]),
    "broadcast a number": ({"campaign_id": CAMPAIGN, "broadcast": 1}, ["broadcast"]),
    "broadcast with recipients": (one() | {"broadcast": True}, ["broadcast", "recipients"]),
    "broadcast with no recipients listed": (to(broadcast=True), ["recipients"]),
    "broadcast with external_user_ids": (
        {"campaign_id": CAMPAIGN, "broadcast": True, "external_user_ids": [SECRET]},
        ["broadcast", "external_user_ids"],
    ),
    "broadcast with user_aliases": (
        {"campaign_id": CAMPAIGN, "broadcast": True, "user_aliases": [{"alias_name": "a", "alias_label": "b"}]},
        ["broadcast", "user_aliases"],
    ),
    "broadcast with attachments": (
        {"campaign_id": CAMPAIGN, "broadcast": True, "attachments": [{"file_name": "a.pdf", "url": "https://a"}]},
        ["broadcast", "attachments"],
    ),
    "nobody addressed": ({"campaign_id": CAMPAIGN}, ["recipients", "audience", "broadcast"]),
    "nobody addressed, broadcast false": ({"campaign_id": CAMPAIGN, "broadcast": False}, ["recipients", "broadcast"]),
    "recipients empty": (to(), ["recipients"]),
    "recipients empty beside an audience": (
        to(audience={"push_subscription_status": {"comparison": "is", "value": "opted_in"}}),
        ["recipients"],
    ),
    "recipients no list": ({"campaign_id": CAMPAIGN, "recipients": {"external_user_id": SECRET}}, ["recipients"]),
    "51 recipients": (to(*MANY), ["recipients", "51", "50"]),
    "segment_id": (one() | {"segment_id": "s"}, ["segment_id"]),
    "no identifier": (to({"trigger_properties": {}}), ["recipients[0]", "external_user_id"]),
    "two identifiers": (
        one(email=SECRET, prioritization=["identified"]),
        ["recipients[0]", "external_user_id", "email"],
    ),
    "id and alias": (one(user_alias={"alias_name": "a", "alias_label": "b"}), ["recipients[0]", "user_alias"]),
    "id and braze_id": (one(braze_id="b"), ["recipients[0]", "external_user_id", "braze_id"]),
    "id empty": (to({"external_user_id": ""}), ["recipients[0].external_user_id"]),
    "id a boolean": (to({"external_user_id": True}), ["recipients[0].external_user_id"]),
    "id a decimal": (to({"external_user_id": 7.0}), ["recipients[0].external_user_id"]),
    "id 988 bytes": (to({"external_user_id": "x" * 988}), ["recipients[0]", "external_user_id", "987"]),
    "id 988 digits": (to({"external_user_id": 10**987}), ["recipients[0]", "external_user_id", "987"]),
    "id -987 digits": (to({"external_user_id": -(10**987)}), ["external_user_id", "987"]),
    "id that Python writes no text of": (to({"external_user_id": 10**5000}), ["external_user_id", "987"]),
    "id 988 bytes in fewer characters": (to({"external_user_id": "é" * 494}), ["external_user_id", "987"]),
    "the second recipient is meant": (to({"external_user_id": "a"}, {"external_user_id": ""}), ["recipients[1]"]),
    "alias without a label": (to({"user_alias": {"alias_name": SECRET}}), ["recipients[0].user_alias.alias_label"]),
    "alias without a name": (to({"user_alias": {"alias_label": SECRET}}), ["recipients[0].user_alias.alias_name"]),
    "alias name empty": (by_alias(name=""), ["recipients[0].user_alias.alias_name"]),
    "alias label empty": (by_alias(label=""), ["recipients[0].user_alias.alias_label"]),
    "alias name 237 bytes": (by_alias(name="x" * 237), ["alias_name", "237", "236"]),
    "alias label 237 bytes": (by_alias(label="é" * 118 + "x"), ["alias_label", "237", "236"]),
    "alias to be created": (
        by_alias(send_to_existing_only=False, attributes={"a": 1}),
        ["recipients[0]", "send_to_existing_only", "user_alias"],
    ),
    "email without prioritization": (to({"email": SECRET}), ["recipients[0]", "email", "prioritization"]),
    "email with an empty prioritization": (to({"email": SECRET, "prioritization": []}), ["prioritization"]),
    "email empty": (to({"email": "", "prioritization": ["identified"]}), ["recipients[0].email"]),
    "prioritization of opposites": (
        to({"email": SECRET, "prioritization": ["identified", "unidentified"]}),
        ["prioritization", "identified", "unidentified"],
    ),
    "prioritization unknown": (to({"email": SECRET, "prioritization": [SECRET]}), ["prioritization[0]", "identified"]),
    "prioritization a text": (to({"email": SECRET, "prioritization": "identified"}), ["prioritization"]),
    "own properties over 50 KB": (
        one(trigger_properties=filled(50_001)),
        ["recipients[0].trigger_properties", "50000"],
    ),
    "own properties no object": (one(trigger_properties=SECRET), ["recipients[0].trigger_properties"]),
    "creation without attributes": (one(send_to_existing_only=False), ["send_to_existing_only", "attributes"]),
    "creation with empty attributes": (
        one(send_to_existing_only=False, attributes={}),
        ["send_to_existing_only", "attributes"],
    ),
    "send_to_existing_only a number": (one(send_to_existing_only=0), ["send_to_existing_only"]),
    "attributes no object": (one(attributes=SECRET), ["recipients[0].attributes"]),
    "attributes of two people": (
        one(attributes={"external_id": SECRET, "user_alias": {"alias_name": "a", "alias_label": "b"}}),
        ["attributes", "external_id", "user_alias"],
    ),
    "attributes.external_id 988 bytes": (one(attributes={"external_id": "x" * 988}), ["external_id", "987"]),
    "attributes.gender": (one(attributes={"gender": SECRET}), ["attributes", "gender", "M"]),
    "attributes.email_subscribe": (one(attributes={"email_subscribe": SECRET}), ["email_subscribe", "opted_in"]),
    "attributes.push_subscribe": (one(attributes={"push_subscribe": SECRET}), ["push_subscribe", "unsubscribed"]),
    "attributes.email no text": (one(attributes={"email": [SECRET]}), ["attributes", "email"]),
    "attributes.first_name no text": (one(attributes={"first_name": 5}), ["attributes", "first_name"]),
    "attributes.dob no date": (one(attributes={"dob": "24.12.1990"}), ["attributes", "dob", "YYYY-MM-DD"]),
    "attributes._update_existing_only no boolean": (
        one(attributes={"_update_existing_only": "yes"}),
        ["attributes", "_update_existing_only"],
    ),
    "attributes.subscription_groups no list": (
        one(attributes={"subscription_groups": SECRET}),
        ["attributes", "subscription_groups"],
    ),
    "array attribute of 501": (one(attributes={"tags": [SECRET] * 501}), ["attributes", "tags", "501", "500"]),
    "array of objects over 100 KB": (
        one(attributes={"pets": [{"name": "x" * 100_001}]}),
        ["attributes", "pets", "100"],
    ),
    "attachment without a name": (one() | {"attachments": [{"url": SECRET}]}, ["attachments[0].file_name"]),
    "attachment without a url": (one() | {"attachments": [{"file_name": SECRET}]}, ["attachments[0].url"]),
    "audience with two roots": (
        within(
            {
                "last_used_app": {"comparison": "after", "value": "2031-01-01"},
                "push_subscription_status": {"comparison": "is", "value": "opted_in"},
            }
        ),
        ["audience", "one"],
    ),
    "audience empty": (within({}), ["audience"]),
    "audience no object": (within([]), ["audience"]),
    "audience AND empty": (within({"AND": []}), ["audience", "AND"]),
    "audience AND no list": (within({"AND": {}}), ["audience", "AND"]),
    "audience of nothing nested": (within({"OR": [{"AND": [SECRET]}]}), ["OR[0].AND[0]"]),
    "audience filter unknown": (within({"custom_event": {}}), ["audience", "custom_event", "custom_attribute"]),
    "audience filter no object": (within({"custom_attribute": SECRET}), ["custom_attribute"]),
    "audience attribute unnamed": (
        within({"custom_attribute": {"comparison": "exists"}}),
        ["custom_attribute.custom_attribute_name"],
    ),
    "audience comparison unknown": (attribute(comparison=SECRET, value=1), ["comparison", "equals"]),
    "audience value missing": (attribute(), ["custom_attribute.value"]),
    "audience value a list": (attribute(value=[SECRET]), ["custom_attribute.value"]),
    "audience order of texts": (attribute(comparison="greater_than", value=SECRET), ["value", "number"]),
    "audience order of booleans": (attribute(comparison="less_than", value=True), ["value", "number"]),
    "audience days a text": (attribute(comparison="less_than_x_days_ago", value=SECRET), ["value", "number"]),
    "audience regex a number": (attribute(comparison="matches_regex", value=1), ["value", "text"]),
    "audience moment no time": (attribute(comparison="after", value=SECRET), ["value", "ISO 8601"]),
    "audience status unknown": (
        within({"email_subscription_status": {"comparison": "is", "value": SECRET}}),
        ["email_subscription_status.value", "opted_in"],
    ),
    "audience status comparison": (
        within({"push_subscription_status": {"comparison": "equals", "value": "opted_in"}}),
        ["push_subscription_status.comparison", "is_not"],
    ),
    "audience last use no time": (
        within({"last_used_app": {"comparison": "before", "value": SECRET}}),
        ["last_used_app.value", "ISO 8601"],
    ),
    "audience last use comparison": (
        within({"last_used_app": {"comparison": "is", "value": "2031-01-01"}}),
        ["last_used_app.comparison", "after"],
    ),
    "audience endlessly nested": (
        within(eval('{"AND":[' * 80 + '{"last_used_app":{"comparison":"after","value":"2031-01-01"}}' + "]}" * 80)),
        ["audience"],
    ),
    "body over 4 MB": (
        to(*({"external_user_id": "x", "attributes": {"a": "x" * 100_000}} for _ in range(41))),
        ["body", "4 MB"],
    ),
    "text that is no Unicode": (one(attributes={"name": "\ud800"}), ["JSON"]),
    "bytes that are no text": (one(attributes={"name": b"\xff"}), ["JSON"]),
    "a value that JSON does not know": (one(trigger_properties={"name": object()}), ["JSON"]),
    "an attribute that is no number": (one(attributes={"score": math.nan}), ["JSON"]),
    "an endless property": (one(trigger_properties={"score": math.inf}), ["JSON"]),
    "an endless shared property": (one() | {"trigger_properties": {"score": -math.inf}}, ["JSON"]),
}


@pytest.mark.parametrize(("payload", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_refused_in_words_that_name_field_and_limit_but_no_value(client, payload, words):
    with pytest.raises(BrazeValidationError) as refused:
        client.build(ROW, payload)
    text = str(refused.value)
    assert [word for word in words if word.casefold() not in text.casefold()] == []
    assert "campaigns_trigger_send" in text
    assert "zebra" not in text
    assert refused.value.problems
    assert len(text) < 1000


def test_every_problem_is_told_at_once_each_on_its_own_line(client):
    with pytest.raises(BrazeValidationError) as refused:
        client.build(ROW, to({"external_user_id": ""}, {"email": SECRET}, send_id="s" * 65))
    fields = [problem.split(":")[0] for problem in refused.value.problems]
    assert {"recipients[0].external_user_id", "recipients[1]", "send_id"} <= set(fields)
    assert str(refused.value).count("\n") == len(refused.value.problems)


SMALL_PROPERTIES = filled(50_000)
VALID = {
    "50 recipients": to(*MANY[:50]),
    "987 bytes of id": to({"external_user_id": "x" * 987}),
    "987 digits of id": to({"external_user_id": 10**987 - 1}),
    "987 bytes of id in fewer characters": to({"external_user_id": "é" * 493 + "x"}),
    "236 bytes of alias": by_alias(name="x" * 236, label="é" * 118),
    "64 characters of send_id": one() | {"send_id": "s" * 64},
    "50,000 bytes of shared properties": one() | {"trigger_properties": SMALL_PROPERTIES},
    "50,000 bytes of own properties": one(trigger_properties=SMALL_PROPERTIES),
    "50,000 bytes for each of two": to(
        *({"external_user_id": u, "trigger_properties": SMALL_PROPERTIES} for u in "ab")
    ),
    "50,000 bytes of multi-byte properties": one(trigger_properties={"k": "é" * 24_996}),
    "500 elements": one(attributes={"tags": ["x"] * 500}),
    "whole numbers as ids": to({"external_user_id": 7}, {"external_user_id": 0}, {"external_user_id": 10**18}),
    "braze_id": to({"braze_id": "b-1"}),
    "all priorities": to({"email": SECRET, "prioritization": ["unidentified", "most_recently_updated"]}),
    "alias that exists": by_alias(send_to_existing_only=True),
    "creation": one(send_to_existing_only=False, attributes={"first_name": "Noa"}),
    "recipients and audience": one()
    | {"audience": {"push_subscription_status": {"comparison": "is", "value": "opted_in"}}},
    "audience alone": within({"last_used_app": {"comparison": "after", "value": "2019-07-22T13:17:55+0000"}}),
    "audience nested": within(
        {"OR": [{"AND": [attribute(value=2.5)["audience"]]}, attribute(comparison="exists")["audience"]]}
    ),
    "attachments to recipients": one() | {"attachments": [{"file_name": "a.pdf", "url": "https://a", "later": 1}]},
    "attachments none, broadcast": {"campaign_id": CAMPAIGN, "broadcast": True, "attachments": []},
    "fields that Braze adds tomorrow": one(soon={"x": [1, None, {"y": None}]})
    | {
        "later": [1, {"a": None}],
        "audience": {"last_used_app": {"comparison": "after", "value": "2031-01-01", "z": 1}},
    },
    "nulls inside": one(
        attributes={"a": None, "b": {"c": None}, "d": [None]}, trigger_properties={"a": None, "b": [{"c": None}]}
    )
    | {"trigger_properties": {"a": None}},
    "attributes that change others": one(
        attributes={"n": {"inc": 1}, "l": {"add": ["x"]}, "o": {"$add": [{"a": 1}]}, "gender": None, "email": None}
    ),
}


@pytest.mark.parametrize("payload", VALID.values(), ids=VALID)
def test_a_valid_request_is_posted_exactly_as_it_was_given(client, payload):
    model = ROW.request.model_validate(payload)
    assert model.model_dump(mode="json", exclude_none=True) == payload
    assert body_of(client, payload) == payload


def test_a_valid_request_stays_the_same_object(client):
    payload = one(attributes={"a": None})
    before = json.dumps(payload)
    client.build(ROW, payload)
    assert json.dumps(payload) == before


def test_explicit_nulls_are_dropped_from_fields_of_the_request(client):
    nulls = dict.fromkeys(("send_id", "trigger_properties", "broadcast", "audience", "attachments", "segment_id"))
    recipient = {"external_user_id": 7} | dict.fromkeys(
        ("user_alias", "email", "braze_id", "prioritization", "trigger_properties", "attributes", "later")
    )
    assert body_of(client, {"campaign_id": CAMPAIGN, **nulls, "recipients": [recipient]}) == to({"external_user_id": 7})


@pytest.mark.parametrize("value", [7, 0, -1, 2**63, 10**30])
def test_a_whole_number_stays_a_whole_number(client, value):
    assert b'"external_user_id":%d}]' % value in client.build(ROW, to({"external_user_id": value})).content


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ({}, {}),
        ({"page": 0, "sort_direction": "desc"}, {"page": "0", "sort_direction": "desc"}),
        ({"include_archived": True, "page": None}, {"include_archived": "true"}),
        ({"last_edit.time[gt]": "2031-01-01T00:00:00"}, {"last_edit.time[gt]": "2031-01-01T00:00:00"}),
        ({"later": False}, {"later": "false"}),
    ],
)
def test_a_query_goes_out_in_brazes_spelling(client, query, sent):
    request = client.build(ENDPOINTS["campaigns_list"], query)
    assert (request.method, request.content, dict(request.params)) == ("GET", None, sent)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"page": -1}, "page"),
        ({"page": "0"}, "page"),
        ({"page": True}, "page"),
        ({"sort_direction": "up"}, "sort_direction"),
        ({"include_archived": 1}, "include_archived"),
        ({"last_edit.time[gt]": 5}, "last_edit"),
        ({"last_edit.time[gt]": "yesterday"}, "last_edit"),
    ],
)
def test_a_query_that_braze_would_not_take_is_refused(client, query, field):
    with pytest.raises(BrazeValidationError, match=field):
        client.build(ENDPOINTS["campaigns_list"], query)
