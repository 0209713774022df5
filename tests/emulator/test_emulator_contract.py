"""Each rule of the contract broken once, with its message read; and what must be accepted."""

import dataclasses

import pytest
from emulator_support import LIST, SEND, WEEKLY

from airflow_provider_braze.emulator.channel_rules import FIELD_RULES
from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.rulebook import BODY_RULES, NOT_JUDGED_HERE, OBJECT_RULES, RECIPIENT_RULES
from airflow_provider_braze.emulator.specification import Field, load_contract
from airflow_provider_braze.emulator.validation import Validator

ONE = {"external_user_id": "u-1"}
EMAIL = {"email": "kim@example.com", "prioritization": ["identified"]}
ALIAS = {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}}
TIER = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
TOO_MANY = "The max number of ids per request was exceeded"


def person(**fields):
    return {"recipients": [{**ONE, **fields}]}


def created(**attributes):
    return {"recipients": [{**ONE, "send_to_existing_only": False, "attributes": attributes}]}


def custom(**fields):
    return {"broadcast": True, "audience": {"custom_attribute": {**TIER["custom_attribute"], **fields}}}


REFUSED = {
    "campaign missing": ({"campaign_id": None, "recipients": [ONE]}, "Bad Request", "campaign_id is required"),
    "campaign a number": ({"campaign_id": 7, "recipients": [ONE]}, "Bad Request", "campaign_id must be a string"),
    "campaign unknown": ({"campaign_id": "nope", "recipients": [ONE]}, "Invalid Campaign ID", "nope"),
    "broadcast_excludes_recipients": (
        {"broadcast": True, "recipients": [ONE]},
        "Bad Request",
        "broadcast is true, so recipients may not be given",
    ),
    "broadcast next to an empty list": ({"broadcast": True, "recipients": []}, "Bad Request", "may not be given"),
    "recipients_missing_needs_broadcast": ({}, "No Recipients", "give recipients"),
    "broadcast false": ({"broadcast": False}, "No Recipients", "give recipients"),
    "recipients null": ({"recipients": None}, "No Recipients", "give recipients"),
    "recipients empty": ({"recipients": []}, "No Recipients", "recipients is empty"),
    "recipients empty next to an audience": ({"recipients": [], "audience": TIER}, "No Recipients", "is empty"),
    "broadcast a string": ({"broadcast": "true"}, "Bad Request", "broadcast must be true or false"),
    "no_segment_id": ({"recipients": [ONE], "segment_id": "s"}, "Bad Request", "segment_id is not accepted"),
    "recipients_max_50": (
        {"recipients": [{"external_user_id": str(n)} for n in range(51)]},
        TOO_MANY,
        "recipients has 51 items, at most 50",
    ),
    "recipients no list": ({"recipients": ONE}, "Bad Request", "recipients must be a list"),
    "recipient a string": ({"recipients": ["u-1"]}, "Bad Request", "recipients[0] must be an object"),
    "one_identifier: two": (
        {"recipients": [{**ONE, **ALIAS}]},
        "Bad Request",
        "it has external_user_id and user_alias",
    ),
    "one_identifier: none": ({"recipients": [ONE, {}]}, "Bad Request", "recipients[1] must have exactly one of"),
    "identifier empty": ({"recipients": [{"external_user_id": " "}]}, "Bad Request", "must be filled"),
    "identifier too long": ({"recipients": [{"external_user_id": "é" * 494}]}, "Bad Request", "at most 987 bytes"),
    "identifier a boolean": (
        {"recipients": [{"external_user_id": True}]},
        "Bad Request",
        "must be a string or an integer",
    ),
    "alias without name": (
        {"recipients": [{"user_alias": {"alias_label": "l"}}]},
        "Bad Request",
        "user_alias.alias_name is required",
    ),
    "alias empty": (
        {"recipients": [{"user_alias": {"alias_label": "l", "alias_name": ""}}]},
        "Bad Request",
        "alias_name must be filled and at most 236 bytes",
    ),
    "alias too long": (
        {"recipients": [{"user_alias": {"alias_label": "l" * 237, "alias_name": "n"}}]},
        "Bad Request",
        "alias_label must be filled and at most 236 bytes",
    ),
    "email_needs_prioritization": ({"recipients": [{"email": "a@b.c"}]}, "Bad Request", "it needs prioritization"),
    "prioritization empty": (
        {"recipients": [{**EMAIL, "prioritization": []}]},
        "Bad Request",
        "it needs prioritization",
    ),
    "prioritization unknown": (
        {"recipients": [{**EMAIL, "prioritization": ["first"]}]},
        "Bad Request",
        "prioritization must be one of identified",
    ),
    "prioritization of opposites": (
        {"recipients": [{**EMAIL, "prioritization": ["identified", "unidentified"]}]},
        "Bad Request",
        "only one of identified, unidentified",
    ),
    "create_needs_attributes": (person(send_to_existing_only=False), "Bad Request", "so it needs attributes"),
    "create with empty attributes": (created(), "Bad Request", "so it needs attributes"),
    "no_create_for_alias": (
        {"recipients": [{**ALIAS, "send_to_existing_only": False, "attributes": {"a": 1}}]},
        "Bad Request",
        "cannot be false with user_alias",
    ),
    "attachments_not_broadcast": (
        {"broadcast": True, "attachments": [{"file_name": "a.pdf", "url": "https://example.com/a.pdf"}]},
        "Bad Request",
        "attachments may not be given when broadcast is true",
    ),
    "attachment without url": (
        {"recipients": [ONE], "attachments": [{"file_name": "a.pdf"}]},
        "Bad Request",
        "attachments[0].url is required",
    ),
    "properties no object": (
        {"recipients": [ONE], "trigger_properties": ""},
        "Bad Request",
        "trigger_properties must be an object",
    ),
    "properties too large": (
        {"recipients": [ONE], "trigger_properties": {"a": "x" * 50_000}},
        "Bad Request",
        "at most 50 KB",
    ),
    "properties of one too large": (
        person(trigger_properties={"a": "é" * 25_000}),
        "Bad Request",
        "recipients[0].trigger_properties",
    ),
    "send_id too long": ({"recipients": [ONE], "send_id": "s" * 65}, "Bad Request", "send_id must be at most 64 ASCII"),
    "send_id no ASCII": ({"recipients": [ONE], "send_id": "é"}, "Bad Request", "send_id must be at most 64 ASCII"),
    "two identities in attributes": (
        created(external_id="u-1", user_alias={"alias_label": "l", "alias_name": "n"}),
        "Bad Request",
        "only one of external_id, user_alias",
    ),
    "external_id in attributes too long": (created(external_id="x" * 988), "Bad Request", "attributes.external_id"),
    "gender unknown": (created(gender="X"), "Bad Request", "gender must be one of M, F"),
    "first name a number": (created(first_name=7), "Bad Request", "first_name must be a string"),
    "dob no date": (created(dob="1.2.1990"), "Bad Request", "YYYY-MM-DD"),
    "subscription groups no list": (
        created(subscription_groups="a"),
        "Bad Request",
        "subscription_groups must be a list",
    ),
    "audience of two filters": (
        {"broadcast": True, "audience": {**TIER, "last_used_app": {"comparison": "after", "value": "2031-01-01"}}},
        "Bad Request",
        "audience must be an object with one key",
    ),
    "audience of a segment": (
        {"broadcast": True, "audience": {"segment": {}}},
        "Bad Request",
        "audience.segment is not a filter",
    ),
    "audience of an empty AND": (
        {"broadcast": True, "audience": {"AND": []}},
        "Bad Request",
        "audience.AND must be a list",
    ),
    "audience comparison": (custom(comparison="like"), "Bad Request", "comparison must be one of"),
    "audience comparison a list": (custom(comparison=["equals"]), "Bad Request", "comparison must be one of"),
    "audience without a value": (custom(value=None), "Bad Request", "value is required"),
    "audience value misfit": (custom(comparison="greater_than", value="3"), "Bad Request", "does not fit"),
    "audience pattern a number": (custom(comparison="matches_regex", value=7), "Bad Request", "does not fit"),
    "external_user_ids": ({"external_user_ids": ["u-1"]}, "No Recipients", "external_user_ids is not accepted"),
    "user_aliases next to an audience": (
        {"user_aliases": [ALIAS["user_alias"]], "audience": TIER},
        "No Recipients",
        "user_aliases is not accepted",
    ),
    "array of 501": (created(tags=["x"] * 501), "Bad Request", "tags has 501 elements, at most 500"),
    "array of large objects": (created(pets=[{"a": "x" * 100_000}]), "Bad Request", "at most 100 KB"),
    "identifier too long with a space": (
        {"recipients": [{"external_user_id": "x" * 987 + " "}]},
        "Bad Request",
        "at most 987 bytes",
    ),
    "email empty": ({"recipients": [{**EMAIL, "email": ""}]}, "Bad Request", "recipients[0].email must be filled"),
    "audience without a name": (custom(custom_attribute_name=None), "Bad Request", "custom_attribute_name is required"),
    "audience status": (
        {
            "broadcast": True,
            "audience": {"OR": [TIER, {"email_subscription_status": {"comparison": "is", "value": "yes"}}]},
        },
        "Bad Request",
        "audience.OR[1].email_subscription_status.value must be one of",
    ),
    "audience time": (
        {"broadcast": True, "audience": {"last_used_app": {"comparison": "after", "value": "yesterday"}}},
        "Bad Request",
        "ISO 8601",
    ),
}

ACCEPTED = {
    "integer id": {"recipients": [{"external_user_id": 123}]},
    "fifty": {"recipients": [{"external_user_id": n} for n in range(50)]},
    "braze_id": {"recipients": [{"braze_id": "5f0c0e0f0e0f0e0f0e0f0e0f"}]},
    "alias, existing only": {"recipients": [{**ALIAS, "send_to_existing_only": True}]},
    "nulls": {
        "recipients": [{**ONE, "email": None, "user_alias": None, "attributes": None}],
        "audience": None,
        "send_id": None,
    },
    "unknown fields": {"recipients": [{**ONE, "nickname": "K"}], "campaign_name": "x"},
    "stray lists next to recipients": {"recipients": [ONE], "external_user_ids": True},
    "array of 500": created(tags=["x"] * 500),
    "long braze_id": {"recipients": [{"braze_id": "x" * 988}]},
    "long email": {"recipients": [{**EMAIL, "email": "x" * 988 + "@example.com"}]},
    "audience only": {"audience": TIER},
    "recipients and audience": {"recipients": [ONE], "audience": {"AND": [TIER, {"OR": [TIER]}]}},
    "custom attributes of any shape": created(tags={"add": ["a"]}, visits={"inc": 1}, gone=None, nested={"a": [1]}),
    "gender null": created(gender=None, first_name="K"),
    "properties just below the limit": {"recipients": [ONE], "trigger_properties": {"a": "x" * 49_990}},
    "existence needs no value": custom(comparison="exists", value=None),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(braze, caller, case):
    body, message, detail = REFUSED[case]
    answer = caller.send(**body)
    assert answer.status_code == 400
    assert answer.json()["message"] == message
    assert any(detail in error for error in answer.json()["errors"]), answer.json()
    assert braze.deliveries() == {}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(caller, case):
    answer = caller.send(**ACCEPTED[case])
    assert (answer.status_code, answer.json()["message"]) == (201, "success"), answer.json()


def test_the_published_examples(caller, examples):
    for body in (examples["valid_request_invented"], *examples["valid_variants_invented"]):
        answer = caller.http.post(SEND, json=body)
        assert answer.status_code == 201, answer.text
        assert len(bytes.fromhex(answer.json()["dispatch_id"])) == 16
    assert caller.http.post(SEND, json=examples["docs_example_request"]["body"]).status_code == 400


def test_all_problems_are_told_at_once(caller):
    errors = caller.to({}, {"email": "a@b.c"}, segment_id="s").json()["errors"]
    assert len(errors) == 3


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"page": "-1"}, "page must be 0 or more"),
        ({"page": "one"}, "page must be an integer"),
        ({"include_archived": "yes"}, "include_archived must be true or false"),
        ({"sort_direction": "up"}, "sort_direction must be one of asc, desc"),
        ({"last_edit.time[gt]": "2020-06-28T23:59:59-5:00"}, "must be an ISO 8601 date and time"),
    ],
)
def test_queries_are_judged(caller, query, detail):
    answer = caller.http.get(LIST, params=query)
    assert answer.status_code == 400
    assert detail in answer.json()["errors"][0]


@pytest.mark.parametrize("served", HANDLERS)
def test_every_rule_of_a_served_endpoint_is_judged_or_listed(served):
    rules = load_contract().endpoints[served].rule_ids
    judged = {*BODY_RULES, *RECIPIENT_RULES, *NOT_JUDGED_HERE}
    assert set(rules) <= judged


def test_every_rule_function_is_named_by_the_contract():
    contract = load_contract()
    of_endpoints = {rule for endpoint in contract.endpoints.values() for rule in endpoint.rule_ids}
    of_objects = {
        rule if "#" in rule else f"{one.name}.{rule}" for one in contract.objects.values() for rule in one.rule_ids
    }
    of_fields = {rule for rules in FIELD_RULES.values() for rule in rules}
    assert {rule.rpartition(".")[2] for rule in (*BODY_RULES, *RECIPIENT_RULES)} <= of_endpoints
    assert {*OBJECT_RULES, *NOT_JUDGED_HERE} <= of_objects | of_endpoints | of_fields


@pytest.mark.parametrize("change", ["rule", "limit"])
def test_a_contract_that_says_more_is_noticed_at_start(change):
    contract = load_contract()
    spec = contract.endpoints["campaigns_trigger_send"]
    if change == "rule":
        spec = dataclasses.replace(spec, rule_ids=(*spec.rule_ids, "never_on_sundays"))
    else:
        spec = dataclasses.replace(spec, body=(*spec.body, Field("mood", "string", False, (), "cheerful")))
    altered = dataclasses.replace(contract, endpoints={**contract.endpoints, spec.id: spec})
    with pytest.raises(NotImplementedError, match=r"never_on_sundays|cheerful"):
        Validator(altered, [spec.id])


def test_campaign_id_of_the_seed_matches_the_examples(examples):
    assert examples["valid_request_invented"]["campaign_id"] == WEEKLY
