"""Audiences over a connection that may message test recipients only, as a plan reads them and as Braze gets them."""

import json
import logging

import pytest

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import BrazeGuardError, identity_hash
from airflow_provider_braze.api.staging import StagingList
from airflow_provider_braze.delivery.audience import ListAudience, join_audiences
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.staging import StagedAudience, stage

SEND = ENDPOINTS["campaigns_trigger_send"]
MESSAGES = ENDPOINTS["messages_send"]
CAMPAIGN = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}
PUSH = {"messages": {"android_push": {"alert": "Doors open at 9", "title": "Today"}}}
IDS = ["t-1", 7, "t-3"]
EXISTING = {"send_to_existing_only": True}


def staged(entries, people=IDS, *, rewrite=False, endpoint=SEND):
    return StagedAudience(ListAudience(entries), StagingList(people, rewrite=rewrite), endpoint)


def read(*arguments, **options):
    return list(staged(*arguments, **options).recipients())


def plan(audience, endpoint=SEND, payload=CAMPAIGN, **options):
    return Plan(endpoint.name, payload, audience, **options)


def people_of(made):
    return [person for request in made for person in json.loads(request.body)["recipients"]]


@pytest.mark.parametrize("rewrite", [False, True])
def test_test_recipients_pass_as_they_are(rewrite):
    entries = ["t-1", 7, {"external_user_id": "t-3", "attributes": {}, "trigger_properties": {"a": 1}}]
    assert read(entries, rewrite=rewrite) == entries


@pytest.mark.parametrize("rewrite", [False, True])
def test_the_attributes_of_test_recipients_stay_behind(rewrite, caplog):
    caplog.set_level(logging.INFO)
    attributes = {"email": "customer@example.com"}
    entries = [
        {"external_user_id": "t-3", "attributes": attributes, "trigger_properties": {"a": 1}},
        {"external_user_id": 7, "attributes": attributes, "send_to_existing_only": False},
    ]
    with plan(staged(entries, rewrite=rewrite)) as made:
        assert people_of(made) == [
            {"external_user_id": "t-3", "trigger_properties": {"a": 1}},
            {"external_user_id": 7},
        ]
    assert caplog.text.count("profile attributes of test recipients are left out") == 1
    assert entries[0]["attributes"] == attributes


def test_others_are_refused_once_all_are_read():
    passed = []
    entries = ["t-1", "secret-1", {"external_user_id": "secret-2"}, 7, {"braze_id": "secret-3"}, "t-3"]
    with pytest.raises(BrazeAudienceError) as caught:
        passed.extend(staged(entries).recipients())
    text = str(caught.value)
    assert "3 of 6 recipients are not among the connection's test_recipients, nothing was sent" in text
    rows = [(2, "secret-1"), (3, "secret-2"), (5, "secret-3")]
    assert [row for row in rows if f"row {row[0]} (recipient {identity_hash(row[1])})" not in text] == []
    assert "secret" not in text
    with pytest.raises(BrazeAudienceError, match="3 of 6"):
        plan(staged(entries))


def test_at_most_five_rows_are_named():
    with pytest.raises(BrazeAudienceError, match="9 of 9") as caught:
        read([f"u-{number}" for number in range(9)])
    assert str(caught.value).count("- row ") == 5


def test_nothing_is_sent_where_one_is_not_a_test_recipient(braze_emulator):
    with pytest.raises(BrazeAudienceError, match="1 of 121"):
        plan(staged([*(["t-1"] * 120), "u-1"]))
    assert braze_emulator.requests() == []


INVALID = [
    None,
    True,
    "",
    1.5,
    [],
    {},
    {"external_user_id": 1.5},
    {"external_user_id": "u-1", "email": "kim@example.com"},
    {"email": "kim@example.com"},
    {"user_alias": "n"},
    {"external_user_id": "u-1", "send_to_existing_only": False},
    {"external_user_id": "u" * 988},
]


@pytest.mark.parametrize("rewrite", [False, True])
def test_entries_that_cannot_be_sent_pass_for_the_plan_to_say_why(rewrite):
    assert read(INVALID, rewrite=rewrite) == INVALID
    with plan(staged([*INVALID, "t-1"], rewrite=rewrite), max_invalid=len(INVALID)) as made:
        assert made.report.invalid == len(INVALID)
        assert people_of(made) == [{"external_user_id": "t-1"}]
    with pytest.raises(BrazeAudienceError, match="12 of 13 recipients cannot be sent"):
        plan(staged([*INVALID, "t-1"], rewrite=rewrite))


def test_test_recipients_stand_in_in_turn():
    people = [{"external_user_id": one, **EXISTING} for one in IDS]
    assert read(["a", "b", "c", "d", "e"], rewrite=True) == [*people, *people[:2]]


def test_the_same_audience_is_always_rewritten_in_the_same_way():
    audience = staged([f"u-{number}" for number in range(20)], rewrite=True)
    assert list(audience.recipients()) == list(audience.recipients())
    with plan(audience) as one, plan(audience) as other:
        assert [request.digest for request in one] == [request.digest for request in other]


def test_stand_ins_see_the_values_and_leave_the_attributes():
    entries = [
        {"external_user_id": "u-1", "trigger_properties": {"offer": "Tea"}, "attributes": {"city": "Rome"}},
        {"email": "a@example.org", "prioritization": ["unidentified"], "context": {"offer": "Salt"}},
        {
            "external_user_id": "u-2",
            "send_to_existing_only": False,
            "attributes": {"email": "b@example.org"},
            "canvas_entry_properties": {"offer": "Rye"},
            "anything": "else",
        },
    ]
    assert read(entries, ["t-1", "Kim@example.com"], rewrite=True) == [
        {"external_user_id": "t-1", "trigger_properties": {"offer": "Tea"}, **EXISTING},
        {
            "email": "Kim@example.com",
            "prioritization": ["identified", "most_recently_updated"],
            "context": {"offer": "Salt"},
            **EXISTING,
        },
        {"external_user_id": "t-1", "canvas_entry_properties": {"offer": "Rye"}, **EXISTING},
    ]


def test_each_test_recipient_gets_one_message_of_a_delivery(braze_emulator, caplog):
    caplog.set_level(logging.INFO)
    audience = staged([f"u-{number}" for number in range(503)], ["t-1", 7, "kim@example.com"], rewrite=True)
    staging = StagingList(["t-1", 7, "kim@example.com"], rewrite=True)
    with plan(audience) as made:
        assert (len(made), made.report.recipients, made.report.duplicates) == (1, 503, 500)
        client = AsyncBrazeClient(braze_emulator.url, braze_emulator.api_key, staging=staging)
        report = deliver(Delivery(made, client))
    assert report["accepted"] == 3
    [request] = braze_emulator.requests()
    names = [person.get("external_user_id") or person["email"] for person in request["body"]["recipients"]]
    assert names == ["t-1", 7, "kim@example.com"]
    assert braze_emulator.summary()["total"] == len(braze_emulator.deliveries())
    assert set(braze_emulator.deliveries()) >= {"external_user_id:t-1", "external_user_id:7"}
    assert "503 of 503 recipients are not among the connection's test_recipients" in caplog.text
    assert "u-1" not in caplog.text


def test_calls_that_take_ids_only():
    aliases = [{"alias_name": "n", "alias_label": "l"}]
    audience = join_audiences({"external_user_ids": ["a", "b", "c"], "user_aliases": aliases})
    staging = StagingList(["t-1", "kim@example.com", 7], rewrite=True)
    with plan(StagedAudience(audience, staging, MESSAGES), MESSAGES, PUSH) as made:
        [request] = made
        assert json.loads(request.body) == {**PUSH, "external_user_ids": ["t-1", 7]}
        assert made.report.duplicates == 2


@pytest.mark.parametrize("name", ["messages_send", "messages_schedule_create", "live_activity_start"])
def test_calls_that_take_ids_only_need_an_id_to_stand_in(name):
    with pytest.raises(BrazeGuardError, match=r"takes no e-mail addresses.*nothing was sent.*Add an external user id"):
        read(["u-1"], ["kim@example.com"], rewrite=True, endpoint=ENDPOINTS[name])
    assert read(["kim@example.com"], ["kim@example.com"], rewrite=True, endpoint=ENDPOINTS[name]) == ["kim@example.com"]


def test_an_empty_audience_stays_empty():
    assert read([]) == read([], rewrite=True) == []
    with pytest.raises(BrazeAudienceError, match="The audience is empty"):
        plan(staged([], rewrite=True))


def test_without_a_list_the_audience_is_the_same():
    audience = ListAudience(["u-1"])
    assert stage(audience, None, SEND) is audience
    assert isinstance(stage(audience, StagingList(IDS), SEND), StagedAudience)


def test_the_source_is_told_which_values_the_endpoint_has():
    class Asked(ListAudience):
        def recipients(self, values_field=None):
            self.values_field = values_field
            return super().recipients(values_field)

    audience = Asked(["t-1"])
    list(StagedAudience(audience, StagingList(IDS), SEND).recipients("trigger_properties"))
    assert audience.values_field == "trigger_properties"


def test_its_repr_holds_no_recipient():
    assert repr(staged(["secret"])) == "<StagedAudience <ListAudience of 1 entries>>"
