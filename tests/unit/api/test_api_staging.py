"""The staging list: whom a guarded client messages, on every endpoint, and what it says of the others."""

import asyncio
import contextlib
import logging

import pytest

from airflow_provider_braze.api.client import AsyncBrazeClient, BrazeClient, admit, encode, validate
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import (
    BrazeConfigurationError,
    BrazeGuardError,
    BrazeValidationError,
    identity_hash,
)
from airflow_provider_braze.api.staging import StagingList, messages_people

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
APP = "a1b2c3d4-0000-4000-8000-00000000000a"
LATER = {"schedule": {"time": "2031-04-07T09:00:00Z"}}
PUSH = {"messages": {"android_push": {"alert": "Doors open at 9", "title": "Today"}}}
ACTIVITY = {
    "app_id": APP,
    "activity_id": "delivery-7",
    "activity_attributes_type": "Delivery",
    "activity_attributes": {"order": 7},
    "content_state": {"step": 1},
    "notification": {"alert": {"title": "On its way", "body": "Soon"}},
}
# What each call that messages people needs beside the people.
TO_RECIPIENTS = {
    "campaigns_trigger_send": {"campaign_id": WEEKLY},
    "canvas_trigger_send": {"canvas_id": WEEKLY},
    "campaigns_trigger_schedule_create": {"campaign_id": WEEKLY, **LATER},
    "canvas_trigger_schedule_create": {"canvas_id": WEEKLY, **LATER},
}
TO_USERS = {"messages_send": PUSH, "messages_schedule_create": {**PUSH, **LATER}, "live_activity_start": ACTIVITY}
EVERYBODY = {
    **{name: {**body, "broadcast": True} for name, body in TO_RECIPIENTS.items()},
    **{
        name: {**TO_USERS[name], "broadcast": True, "segment_id": "s"}
        for name in TO_USERS
        if name != "live_activity_start"
    },
    "live_activity_start": {**ACTIVITY, "segment_id": "s"},
}
TIER = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
IDS = ["t-1", 7, "t-3"]
MIXED = ["t-1", "Kim@Example.com", 7]
STRANGER = "somebody-else"


def call_sync(emulator, key, staging, endpoint, payload):
    with BrazeClient(emulator.url, key, staging=staging) as client:
        return client.call(endpoint, payload)


def call_async(emulator, key, staging, endpoint, payload):
    async def run():
        async with AsyncBrazeClient(emulator.url, key, staging=staging) as client:
            return await client.call(endpoint, payload)

    return asyncio.run(run())


CALLS = pytest.mark.parametrize("call", [call_sync, call_async], ids=["sync", "async"])
BOTH = pytest.mark.parametrize("rewrite", [False, True], ids=["refuse", "rewrite"])


def body_to(endpoint, *people):
    if endpoint == "transactional_send":
        return {"campaign_id": RECEIPT, "recipient": {"external_user_id": people[0]}}
    if endpoint in TO_USERS:
        return {**TO_USERS[endpoint], "external_user_ids": list(people)}
    return {**TO_RECIPIENTS[endpoint], "recipients": [{"external_user_id": person} for person in people]}


def sent_body(emulator):
    [request] = emulator.requests()
    assert request["status"] in {200, 201, 202}, request
    return request["body"]


GUARDED = [*TO_RECIPIENTS, *TO_USERS, "transactional_send"]
# Calls that change what others made, and do not say whom it reaches.
CHANGES = {
    "messages_schedule_update": {"schedule_id": "s", **LATER},
    "campaigns_trigger_schedule_update": {"schedule_id": "s", "campaign_id": WEEKLY, **LATER},
    "canvas_trigger_schedule_update": {"schedule_id": "s", "canvas_id": WEEKLY, **LATER},
    "live_activity_update": {name: ACTIVITY[name] for name in ("app_id", "activity_id", "content_state")},
}


def test_all_endpoints_that_message_people_are_guarded():
    assert {name for name, row in ENDPOINTS.items() if messages_people(row)} == {*GUARDED, *CHANGES}


@CALLS
@BOTH
@pytest.mark.parametrize("endpoint", GUARDED)
def test_test_recipients_get_what_is_theirs(braze_emulator, key, call, rewrite, endpoint):
    body = body_to(endpoint, "t-1") if endpoint == "transactional_send" else body_to(endpoint, "7", "t-1")
    call(braze_emulator, key, StagingList(IDS, rewrite=rewrite), endpoint, body)
    body.pop("campaign_id" if endpoint == "transactional_send" else "", None)
    assert sent_body(braze_emulator) == body


@CALLS
@pytest.mark.parametrize("endpoint", GUARDED)
def test_others_are_refused_by_default(braze_emulator, key, call, endpoint):
    with pytest.raises(BrazeGuardError, match="test_recipients, nothing was sent") as caught:
        call(braze_emulator, key, StagingList(IDS), endpoint, body_to(endpoint, STRANGER, "t-1"))
    text = str(caught.value)
    assert text.startswith(f"{endpoint}: 1 of {1 if endpoint == 'transactional_send' else 2} recipients")
    assert identity_hash(STRANGER) in text
    assert STRANGER not in text
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("endpoint", GUARDED)
def test_test_recipients_stand_in_for_others(braze_emulator, key, endpoint):
    call_sync(braze_emulator, key, StagingList(IDS, rewrite=True), endpoint, body_to(endpoint, "a", "b", 7, "c", "d"))
    body = sent_body(braze_emulator)
    if endpoint == "transactional_send":
        assert body["recipient"] == {"external_user_id": "t-1"}
    elif endpoint in TO_USERS:
        assert body["external_user_ids"] == IDS
    else:
        # The second one stands in for b, so that their own place is merged.
        assert body["recipients"] == [{"external_user_id": one, "send_to_existing_only": True} for one in IDS]
    if "schedule" not in endpoint:
        assert set(braze_emulator.deliveries()) <= {f"external_user_id:{one}" for one in IDS}


@CALLS
@BOTH
@pytest.mark.parametrize("endpoint", EVERYBODY)
def test_everybody_at_once_is_always_refused(braze_emulator, key, call, rewrite, endpoint):
    with pytest.raises(BrazeGuardError, match=r"its 3 test_recipients only.*nothing was sent"):
        call(braze_emulator, key, StagingList(IDS, rewrite=rewrite), endpoint, EVERYBODY[endpoint])
    assert braze_emulator.requests() == []


@BOTH
@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        *((name, {**body, "audience": TIER, "broadcast": False}) for name, body in TO_RECIPIENTS.items()),
        ("live_activity_start", {**ACTIVITY, "custom_audience": TIER}),
        ("messages_send", {**PUSH, "audience": TIER, "broadcast": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_audience_by_filters_is_always_refused(braze_emulator, key, rewrite, endpoint, body):
    with pytest.raises(BrazeGuardError, match="an audience reaches others"):
        call_sync(braze_emulator, key, StagingList(IDS, rewrite=rewrite), endpoint, body)
    assert braze_emulator.requests() == []


def test_what_messages_nobody_is_free(braze_emulator, key):
    staging = StagingList(IDS)
    assert call_sync(braze_emulator, key, staging, "campaigns_list", {"page": 0})["campaigns"]
    assert call_sync(braze_emulator, key, staging, "sends_id_create", {"campaign_id": WEEKLY})["send_id"]
    assert call_sync(
        braze_emulator, key, staging, "users_export_ids", {"external_ids": [STRANGER], "fields_to_export": ["email"]}
    )
    schedule = call_sync(
        braze_emulator, key, None, "messages_schedule_create", body_to("messages_schedule_create", STRANGER)
    )
    of_it = {"schedule_id": schedule["schedule_id"]}
    call_sync(braze_emulator, key, staging, "messages_schedule_delete", of_it)
    assert braze_emulator.deliveries() == {}


@CALLS
@BOTH
@pytest.mark.parametrize("endpoint", CHANGES)
def test_a_change_that_does_not_say_whom_it_reaches_is_refused(braze_emulator, key, call, rewrite, endpoint):
    """A schedule that was made over another connection, moved to now, would message its people."""
    with pytest.raises(BrazeGuardError, match=r"does not say whom the change reaches: nothing was sent"):
        call(braze_emulator, key, StagingList(IDS, rewrite=rewrite), endpoint, CHANGES[endpoint])
    assert braze_emulator.requests() == []


def test_an_encoded_change_is_of_a_schedule_that_the_same_task_made(key):
    client = AsyncBrazeClient("rest.example.com", key, staging=StagingList(IDS))
    for endpoint, body in CHANGES.items():
        row = ENDPOINTS[endpoint]
        content = encode(row, validate(row, body))
        if "schedule" in endpoint:
            assert client.wrap(row, content).content == content
        else:
            with pytest.raises(BrazeGuardError, match="does not say whom"):
                client.wrap(row, content)


@BOTH
@pytest.mark.parametrize("endpoint", [*TO_RECIPIENTS, "transactional_send"])
def test_no_attributes_are_written(braze_emulator, key, rewrite, endpoint, caplog):
    """The address of a customer, written into a test recipient's profile, would get the message."""
    caplog.set_level(logging.INFO)
    plain, body = (body_to(endpoint, "t-1") for _ in range(2))
    person = body["recipient"] if endpoint == "transactional_send" else body["recipients"][0]
    person["attributes"] = {"email": "customer@example.com", "phone": "+4790000000", "city": "Oslo"}
    call_sync(braze_emulator, key, StagingList(IDS, rewrite=rewrite), endpoint, body)
    plain.pop("campaign_id" if endpoint == "transactional_send" else "", None)
    assert sent_body(braze_emulator) == plain
    assert "profile attributes of test recipients are left out" in caplog.text
    assert "customer" not in caplog.text


def test_who_would_be_made_of_attributes_must_be_there(braze_emulator, key):
    person = {"external_user_id": "t-1", "attributes": {"city": "Oslo"}, "send_to_existing_only": False}
    call_sync(
        braze_emulator, key, StagingList(IDS), "campaigns_trigger_send", {"campaign_id": WEEKLY, "recipients": [person]}
    )
    assert sent_body(braze_emulator)["recipients"] == [{"external_user_id": "t-1"}]


def test_an_encoded_body_is_held_against_the_list_too(key):
    client = AsyncBrazeClient("rest.example.com", key, staging=StagingList(IDS, rewrite=True))
    row = ENDPOINTS["campaigns_trigger_send"]
    assert client.wrap(row, b'{"recipients": [{"external_user_id": "7"}]}').content
    for content in (
        b'{"recipients": [{"external_user_id": "7"}, {"external_user_id": "x"}]}',
        b'{"campaign_id": "c", "broadcast": true}',
        b'{"campaign_id": "c"}',
        b'{"recipients": [{"external_user_id": "7", "attributes": {"email": "a@example.org"}}]}',
        b"{}",
    ):
        with pytest.raises(BrazeGuardError, match="nothing was sent"):
            client.wrap(row, content)
    unguarded = AsyncBrazeClient("rest.example.com", key)
    assert unguarded.wrap(row, b'{"campaign_id": "c", "broadcast": true}').content


KNOWN = [
    {"email": " KIM@example.com"},
    {"external_user_id": "t-1"},
    {"external_user_id": 7},
    {"external_user_id": "7"},
    {"external_user_id": "7", "email": None, "attributes": {"city": "Oslo"}},
    {"email": "kim@example.com"},
    {"email": "KIM@example.COM", "prioritization": ["identified"]},
    {"external_user_id": "Kim@Example.com"},
]
UNKNOWN = [
    {"external_user_id": "T-1"},
    {"external_user_id": "t-1 "},
    {"external_user_id": 70},
    {"external_user_id": True},
    {"external_user_id": None},
    {"external_user_id": "t-1", "email": "kim@example.com"},
    {"external_user_id": "t-1", "braze_id": "x"},
    {"external_user_id": ["t-1"]},
    {"email": "kim@example.org"},
    {"email": "t-1"},
    # Another letter, which lower() makes the same: the Kelvin sign.
    {"email": "\u212aim@example.com"},
    {"email": "\u2003kim@example.com"},
    {"external_user_id": "\u212aim@Example.com"},
    {"email": ""},
    {"email": 7},
    {"braze_id": "t-1"},
    {"user_alias": {"alias_name": "t-1", "alias_label": "t-1"}},
    {"user_alias": "t-1"},
    {},
    "t-1",
    7,
    None,
    ["t-1"],
]


@pytest.mark.parametrize("person", KNOWN, ids=str)
def test_who_is_known(person):
    assert StagingList(MIXED).knows(person)


@pytest.mark.parametrize("person", UNKNOWN, ids=str)
def test_who_is_not_known(person):
    assert not StagingList(MIXED).knows(person)


def test_addresses_beyond_ascii():
    staging = StagingList(["Zoë@example.com"])
    assert staging.knows({"email": "ZOë@EXAMPLE.com"})
    assert not staging.knows({"email": "ZOË@example.com"})


@BOTH
def test_a_look_alike_of_a_test_recipient_is_somebody_else(braze_emulator, key, rewrite):
    person = {"email": "\u212aim@example.com", "prioritization": ["identified"]}
    body = {"campaign_id": WEEKLY, "recipients": [person]}
    with contextlib.suppress(BrazeGuardError):
        call_sync(braze_emulator, key, StagingList(MIXED, rewrite=rewrite), "campaigns_trigger_send", body)
    assert "\u212a" not in str([request["body"] for request in braze_emulator.requests()])


def test_a_stand_in_sees_what_the_other_would_have_seen_and_no_attributes_are_written(braze_emulator, key, caplog):
    caplog.set_level(logging.INFO)
    alias = {"alias_name": "n", "alias_label": "l"}
    recipients = [
        {"user_alias": alias, "trigger_properties": {"offer": "Cake"}, "attributes": {"city": "Oslo"}},
        {
            "external_user_id": STRANGER,
            "trigger_properties": {"offer": "Tea"},
            "attributes": {"city": "Rome"},
            "send_to_existing_only": False,
            "phone": "+47",
        },
        {"external_user_id": 7, "attributes": {"city": "Bern"}, "trigger_properties": {"offer": "Bread"}},
        {"braze_id": "b", "trigger_properties": {"offer": "Salt"}},
    ]
    body = {"campaign_id": WEEKLY, "trigger_properties": {"week": 7}, "recipients": recipients}
    call_sync(braze_emulator, key, StagingList(MIXED, rewrite=True), "campaigns_trigger_send", body)
    sent = sent_body(braze_emulator)
    existing = {"send_to_existing_only": True}
    assert sent == {
        "campaign_id": WEEKLY,
        "trigger_properties": {"week": 7},
        "recipients": [
            {"external_user_id": "t-1", "trigger_properties": {"offer": "Cake"}, **existing},
            {
                "email": "Kim@Example.com",
                "prioritization": ["identified", "most_recently_updated"],
                "trigger_properties": {"offer": "Tea"},
                **existing,
            },
            {"external_user_id": 7, "trigger_properties": {"offer": "Bread"}},
        ],
    }
    assert "3 of 4 recipients are not among the connection's test_recipients" in caplog.text
    assert STRANGER not in caplog.text


def test_a_canvas_keeps_its_values(braze_emulator, key):
    person = {"external_user_id": STRANGER, "context": {"a": 1}, "canvas_entry_properties": {"b": 2}}
    body = {"canvas_id": WEEKLY, "recipients": [person]}
    call_sync(braze_emulator, key, StagingList(["t-1"], rewrite=True), "canvas_trigger_send", body)
    assert sent_body(braze_emulator)["recipients"] == [
        {**person, "external_user_id": "t-1", "send_to_existing_only": True}
    ]


def test_aliases_of_others_become_ids(braze_emulator, key):
    aliases = [{"alias_name": "n", "alias_label": "l"}]
    body = {**PUSH, "external_user_ids": ["7"], "user_aliases": aliases}
    with pytest.raises(BrazeGuardError, match="1 of 2 recipients"):
        call_sync(braze_emulator, key, StagingList(IDS), "messages_send", body)
    call_sync(braze_emulator, key, StagingList(IDS, rewrite=True), "messages_send", body)
    assert sent_body(braze_emulator) == {**PUSH, "external_user_ids": ["7", "t-1"]}


@pytest.mark.parametrize("endpoint", [*TO_USERS, "transactional_send"])
def test_a_list_of_addresses_cannot_stand_in_where_only_ids_are_taken(braze_emulator, key, endpoint):
    staging = StagingList(["kim@example.com"], rewrite=True)
    with pytest.raises(BrazeGuardError, match=r"takes no e-mail addresses.*Add an external user id") as caught:
        call_sync(braze_emulator, key, staging, endpoint, body_to(endpoint, STRANGER))
    assert "kim@" not in str(caught.value)
    assert braze_emulator.requests() == []


@BOTH
@pytest.mark.parametrize("hidden", ["recipients", "external_user_ids", "user_aliases", "recipient"])
def test_people_in_a_field_that_the_endpoint_does_not_know_count(braze_emulator, key, rewrite, hidden):
    person = {"external_user_id": STRANGER}
    values = {
        "recipients": [person],
        "external_user_ids": [STRANGER],
        "user_aliases": [{"alias_name": STRANGER, "alias_label": "l"}],
        "recipient": person,
    }
    for endpoint in ("campaigns_trigger_send", "messages_send", "transactional_send"):
        body = body_to(endpoint, "t-1")
        if hidden in body:
            continue
        row = ENDPOINTS[endpoint]
        rest = {name: value for name, value in body.items() if f"{{{name}}}" not in row.path}
        content = encode(row, validate(row, {**rest, hidden: values[hidden]}))
        staging = StagingList(IDS, rewrite=rewrite)
        if rewrite:
            assert STRANGER.encode() not in admit(row, content, staging)
        else:
            with pytest.raises(BrazeGuardError, match="1 of 2 recipients"):
                admit(row, content, staging)


def test_a_body_that_is_invalid_is_so_for_its_own_reason(braze_emulator, key):
    staging = StagingList(IDS, rewrite=True)
    with pytest.raises(BrazeValidationError, match="email needs prioritization"):
        call_sync(
            braze_emulator,
            key,
            staging,
            "campaigns_trigger_send",
            {"campaign_id": WEEKLY, "recipients": [{"email": "a@example.org"}]},
        )
    assert braze_emulator.requests() == []


def test_at_most_five_are_named():
    row = ENDPOINTS["campaigns_trigger_send"]
    body = body_to("campaigns_trigger_send", *(f"u-{number}" for number in range(9)))
    with pytest.raises(BrazeGuardError, match="9 of 9 recipients") as caught:
        StagingList(IDS).check(row, body)
    named = [number for number in range(9) if identity_hash(f"u-{number}") in str(caught.value)]
    assert named == [0, 1, 2, 3, 4]


def test_the_same_person_twice_is_one_and_the_order_is_kept():
    staging = StagingList(["b", 7, "kim@example.com", "7", "b", "KIM@example.com", " a "])
    assert len(staging) == 4
    people = [person.get("external_user_id") for person in staging.testers(ENDPOINTS["campaigns_trigger_send"])]
    assert people == ["b", 7, None, "a"]
    assert "kim" not in repr(staging)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([], "holds nobody"),
        (["t-1", ""], "Entry 2 .* is blank"),
        (["  "], "Entry 1 .* is blank"),
        ([None], "neither a text nor a whole number"),
        ([True], "neither a text nor a whole number"),
        ([1.5], "neither a text nor a whole number"),
        ([{"external_user_id": "t-1"}], "neither a text nor a whole number"),
        (["secret.person@"], "no e-mail address"),
        (["@secret.person"], "no e-mail address"),
        (["secret@person@example.com"], "no e-mail address"),
        (["secret person@example.com"], "no e-mail address"),
        (["s" * 988], "longer than 987 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_entries_that_are_none(entries, words):
    with pytest.raises(BrazeConfigurationError, match=words) as caught:
        StagingList(entries)
    assert "test_recipients" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("extra", [{"recipients": ["z"]}, {"recipient": "z"}, {"user_aliases": ["z"]}])
def test_a_field_that_the_endpoint_does_not_know_is_rewritten_too(extra):
    body = {"messages": {}, "external_user_ids": ["qa-1"], **extra}
    staging = StagingList(["qa-1", "qa-2"], rewrite=True)
    assert staging.admit(ENDPOINTS["messages_send"], body) == {"messages": {}, "external_user_ids": ["qa-1"]}
