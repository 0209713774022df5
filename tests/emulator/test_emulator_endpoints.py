"""Every served endpoint against the contract: its examples, each of its rules broken once, keys, quota, faults."""

import pytest
from emulator_support import ARCHIVED, EVERYONE, EXAMPLES, LIST, PUSH, TIER, WEEKLY

from airflow_provider_braze.api.endpoints import ENDPOINTS as CALLED
from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.specification import load_contract

ENDPOINTS = load_contract().endpoints
POSTS = [name for name in HANDLERS if ENDPOINTS[name].method == "POST"]
ONE = {"external_user_id": "u-1"}
ALIAS = {"alias_label": "crm_id", "alias_name": "crm-1001"}
PEOPLE = ("recipients", "external_user_ids", "user_aliases", "audience", "segment_id")
BAD, NOBODY = "Bad Request", "No Recipients"
TOO_MANY = "The max number of ids per request was exceeded"


def without(body, *names):
    return {name: value for name, value in body.items() if name not in names}


def recipient(**fields):
    return lambda body: {**without(body, "broadcast"), "recipients": [fields]}


def too_many_recipients(body):
    return {**body, "recipients": [{"external_user_id": str(n)} for n in range(51)]}


def too_many_in_all(body):
    aliases = [{"alias_label": "l", "alias_name": str(n)} for n in range(26)]
    return {**body, "external_user_ids": [str(n) for n in range(25)], "user_aliases": aliases}


# How each rule is broken, starting from a valid body; the wire message; a part of the detail.
BROKEN = {
    "broadcast_excludes_recipients": (lambda body: {**body, "broadcast": True}, BAD, "may not be given"),
    "recipients_missing_needs_broadcast": (lambda body: without(body, *PEOPLE, "broadcast"), NOBODY, "give recipients"),
    "no_segment_id": (lambda body: {**body, "segment_id": EVERYONE}, BAD, "segment_id is not accepted"),
    "recipients_max_50": (too_many_recipients, TOO_MANY, "at most 50"),
    "one_identifier": (recipient(**ONE, user_alias=ALIAS), BAD, "must have exactly one of"),
    "transactional_send.one_identifier": (
        lambda body: {**body, "recipient": {"email": "kim@example.com"}},
        BAD,
        "recipient must have exactly one of external_user_id, user_alias; it has email",
    ),
    "email_needs_prioritization": (recipient(email="a@b.c"), BAD, "it needs prioritization"),
    "create_needs_attributes": (recipient(**ONE, send_to_existing_only=False), BAD, "so it needs attributes"),
    "no_create_for_alias": (
        recipient(user_alias=ALIAS, send_to_existing_only=False, attributes={"a": 1}),
        BAD,
        "cannot be false with user_alias",
    ),
    "attachments_not_broadcast": (
        lambda body: {
            **without(body, "recipients"),
            "broadcast": True,
            "attachments": [{"file_name": "a.pdf", "url": "https://example.com/a.pdf"}],
        },
        BAD,
        "attachments may not be given",
    ),
    "some_target": (lambda body: {**without(body, *PEOPLE), "broadcast": True}, NOBODY, "give external_user_ids"),
    "untargeted_needs_broadcast": (
        lambda body: {**without(body, *PEOPLE, "broadcast"), "segment_id": EVERYONE},
        BAD,
        "broadcast must be true",
    ),
    "max_50": (too_many_in_all, "The max number of external_ids and aliases per request was exceeded", "51 items"),
    "variation_needed": (
        lambda body: {**body, "campaign_id": WEEKLY, "messages": PUSH},
        "Message Variant Unspecified",
        "messages.android_push needs message_variation_id",
    ),
    "message_needed": (lambda body: without(body, "messages"), "No message to send", "at least one channel"),
    "send_id_needs_campaign": (
        lambda body: {**without(body, "campaign_id"), "send_id": "s"},
        BAD,
        "send_id needs a campaign_id",
    ),
    "send_id_format": (lambda body: {**body, "send_id": "s" * 65}, BAD, "at most 64 ASCII"),
    "schedule_time": (lambda body: {**body, "schedule": {"time": "soon"}}, BAD, "schedule.time must be an ISO 8601"),
    "schedule_required": (lambda body: without(body, "schedule"), BAD, "schedule is required"),
    "one_change": (lambda body: without(body, "schedule", "messages"), BAD, "give schedule, or messages"),
    "one_target": (lambda body: {**body, "segment_id": EVERYONE}, BAD, "give exactly one of"),
    "range": (lambda query: without(query, "length", "starting_at"), BAD, "give starting_at or length"),
    "single_kind": (lambda body: {**body, "phone": "1", "device_id": "2"}, BAD, "it has device_id and phone"),
}
# Rules that say what happens to a valid request; tests of their own look at that.
BEHAVIOUR = {
    *("audience_only", "recipients_and_audience", "dashboard_segment_intersection", "ids_and_segment_intersect"),
    *("recipients_must_exist", "dedup_24h", "url_encode"),
}
RULES = [(name, rule) for name in HANDLERS for rule in ENDPOINTS[name].rule_ids if rule not in BEHAVIOUR]
RULES += [
    ("messages_schedule_create", rule)
    for rule in ("max_50", "variation_needed", "message_needed", "send_id_needs_campaign")
]


def test_all_endpoints_that_the_package_calls_are_served():
    assert set(HANDLERS) == set(CALLED)


@pytest.mark.parametrize(
    ("name", "place"), [(name, n) for name in HANDLERS for n in range(len(EXAMPLES[name]["valid"]))]
)
def test_valid_requests_are_accepted(caller, name, place):
    answer = caller.call(name, caller.valid(name, place))
    assert answer.status_code == EXAMPLES[name]["answer"]["status"], answer.text
    assert set(answer.json()) >= set(EXAMPLES[name]["answer"]["body"]) - {"invalid_user_ids"}


@pytest.mark.parametrize("name", [name for name in HANDLERS if not EXAMPLES[name]["published_is_valid"]])
def test_published_examples_that_break_the_rules_are_refused(caller, name):
    assert caller.call(name, EXAMPLES[name]["published"]).status_code == 400


@pytest.mark.parametrize(("name", "rule"), RULES)
def test_each_rule_broken_once(braze, caller, name, rule):
    own = f"{name}.{rule}"
    change, message, detail = BROKEN[own if own in BROKEN else rule]
    given = change(caller.valid(name))
    waiting = len(braze.schedules())
    answer = caller.call(name, given)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"] == message
    assert any(detail in error for error in answer.json()["errors"]), answer.json()
    assert braze.deliveries() == {}
    assert len(braze.schedules()) == waiting


@pytest.mark.parametrize("name", HANDLERS)
def test_each_required_field_left_out(caller, name):
    endpoint = ENDPOINTS[name]
    for field in (*endpoint.body, *endpoint.query):
        if field.required:
            answer = caller.call(name, without(caller.valid(name), field.name))
            assert answer.status_code == 400
            assert f"{field.name} is required" in answer.json()["errors"]


@pytest.mark.parametrize("name", HANDLERS)
def test_each_field_of_the_wrong_type(caller, name):
    endpoint = ENDPOINTS[name]
    for field in endpoint.body:
        if "external_user_ids" not in field.name:
            answer = caller.call(name, {**caller.valid(name), field.name: 7.5})
            assert answer.status_code == 400, field.name
            assert any(field.name in error for error in answer.json()["errors"])


@pytest.mark.parametrize("name", HANDLERS)
def test_the_permission_is_its_own(braze, caller, name):
    given, permission = caller.valid(name), ENDPOINTS[name].permission
    others = {one.permission for one in ENDPOINTS.values()} - {permission}
    seed = {"campaigns": [{"id": WEEKLY}], "canvases": [{"id": WEEKLY}], "segments": [{"id": WEEKLY}]}
    keys = [{"name": "own", "key": "own", "permissions": [permission]}]
    keys.append({"name": "others", "key": "others", "permissions": sorted(others)})
    braze.reset({**seed, "api_keys": keys})
    refused = caller.call(name, given, headers={"Authorization": "Bearer others"})
    assert (refused.status_code, refused.json()["message"]) == (403, "Access Denied")
    assert caller.call(name, given, headers={"Authorization": "Bearer own"}).status_code not in (401, 403)


@pytest.mark.parametrize("name", HANDLERS)
def test_a_fault_on_its_path(braze, caller, name):
    given = caller.valid(name)
    before = len(braze.schedules())
    braze.inject("server_error", status=503, path=ENDPOINTS[name].path)
    assert caller.http.get(LIST).status_code == (503 if name == "campaigns_list" else 200)
    if name != "campaigns_list":
        assert caller.call(name, given).status_code == 503
    assert (braze.deliveries(), len(braze.schedules())) == ({}, before)
    assert caller.call(name, given).is_success


@pytest.mark.parametrize("name", HANDLERS)
@pytest.mark.parametrize(
    ("kind", "field"),
    [("errors_in_201", "errors"), ("notice_in_201", "notice")],
)
def test_a_success_with_a_flaw(braze, caller, name, kind, field):
    given = caller.valid(name)
    braze.inject(kind, text="oops")
    answer = caller.call(name, given)
    assert answer.is_success
    assert "oops" in str(answer.json()[field])
    assert sum(braze.deliveries().values()) <= 3
    if kind == "notice_in_201":
        braze.clock.advance(10 * 365 * 86400)
        sent = [one for one in braze.messages() if one["schedule_id"] is None]
        assert sent == []


@pytest.mark.parametrize("name", POSTS)
def test_a_body_that_is_no_json(caller, name):
    path = ENDPOINTS[name].path
    answer = caller.http.post(path, content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()) == ({"error"} if "live_activity" in name else {"message", "errors"})


@pytest.mark.parametrize("name", HANDLERS)
def test_ids_that_nobody_has(caller, name):
    given = caller.valid(name)
    for field in ("campaign_id", "canvas_id", "segment_id"):
        if field in given:
            answer = caller.call(name, {**given, field: "nope"})
            assert answer.status_code == 400, answer.text
            assert "nope" in answer.text or "another" in answer.text


def test_a_path_parameter(caller):
    assert caller.call("transactional_send", caller.valid("transactional_send"), campaign_id="nope").json()[
        "message"
    ] == ("Campaign does not exist")
    assert caller.http.post("/transactional/v1/campaigns//send", json={}).status_code == 404
    assert caller.http.post("/transactional/v1/campaigns/a/b/send", json={}).status_code == 404
    answer = caller.call("transactional_send", caller.valid("transactional_send"), campaign_id=ARCHIVED)
    assert answer.json()["message"] == "Campaign is not transactional"


def test_audiences_are_accepted_wherever_the_contract_lists_them(caller):
    for name in HANDLERS:
        for field in ENDPOINTS[name].body:
            if field.type == "object:connected_audience":
                alone = {**without(caller.valid(name), *PEOPLE), field.name: TIER}
                broadcast = {"broadcast": True} if name.startswith("messages") else {}
                assert caller.call(name, {**alone, **broadcast}).status_code == 201
                wrong = caller.call(name, {**alone, **broadcast, field.name: {"segment": {}}})
                assert f"{field.name}.segment is not a filter" in wrong.json()["errors"][0]
