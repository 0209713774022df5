"""What a notifier refuses when it is made, and what only once its templates are rendered."""

from __future__ import annotations

import inspect

import pytest

from airflow_provider_braze.api.errors import BrazeValidationError
from airflow_provider_braze.notifications.braze import BrazeNotifier

EMAIL = {"email": {"app_id": "a1b2c3d4-0000-4000-8000-00000000000a", "from": "Ops <ops@example.com>", "body": "Help"}}
IDS = [f"on-call-{number}" for number in range(51)]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"recipients": IDS}, "recipients has 51 entries: a notification goes to at most 50"),
        ({"external_user_ids": IDS, "messages": EMAIL}, "external_user_ids has 51 entries"),
        ({"recipients": []}, "recipients names nobody"),
        ({"recipients": None}, "recipients is missing"),
        ({"recipients": "on-call-kim"}, "recipients is of type str"),
        ({"recipients": "[]"}, "recipients names nobody"),
        ({"recipients": {"external_user_id": "on-call-kim"}}, "recipients is of type dict"),
        ({"recipients": ["on-call-kim", None]}, "recipients [1] must be"),
        ({"recipients": [True]}, "recipients [0] must be"),
        ({"recipients": ["  "]}, "recipients [0] must be"),
        ({"recipients": [{}]}, "recipients [0] must be"),
        ({"recipients": ["on-call-kim", {"emial": "kim@example.com"}]}, "recipients [1] must be"),
        ({"recipients": [{"user_alias": {}}]}, "recipients [0] must be"),
        ({"recipients": [{"external_user_id": "kim", "email": "kim@example.com"}]}, "recipients [0] must be"),
        ({"messages": EMAIL, "recipients": [{"email": "kim@example.com"}]}, "external_user_id or user_alias"),
        ({"campaign_id": None}, "campaign_id or messages"),
        ({"campaign_id": "c", "messages": EMAIL}, "campaign_id or messages"),
        ({"messages": EMAIL, "trigger_properties": {"a": 1}}, "trigger_properties"),
        ({"external_user_ids": [1]}, "external_user_ids cannot be given with campaign_id"),
        ({"override_frequency_capping": True}, "override_frequency_capping cannot be given"),
        ({"messages": EMAIL, "recipients": [1], "external_user_ids": [1]}, "recipients or external_user_ids"),
    ],
)
def test_refused_when_it_is_made(notifier, parameters, words):
    with pytest.raises(ValueError) as caught:
        notifier(**parameters)
    assert words in str(caught.value)
    assert "kim@" not in str(caught.value)


@pytest.mark.parametrize("broadcast", [True, False])
def test_there_is_no_broadcast(notifier, broadcast):
    with pytest.raises(TypeError):
        notifier(broadcast=broadcast)


def test_nothing_can_be_given_by_place():
    parameters = list(inspect.signature(BrazeNotifier).parameters.values())
    assert {one.kind for one in parameters[:-1]} == {inspect.Parameter.KEYWORD_ONLY}
    with pytest.raises(ValueError):
        BrazeNotifier()


def test_templated_fields_are_the_ones_that_its_docstring_marks():
    marked = {part.split(":")[0] for part in BrazeNotifier.__doc__.split(":param ")[1:] if "(templated)" in part}
    assert marked == set(BrazeNotifier.template_fields)
    documented = {part.split(":")[0] for part in BrazeNotifier.__doc__.split(":param ")[1:]}
    assert documented == set(inspect.signature(BrazeNotifier).parameters) - {"kwargs"}


@pytest.mark.parametrize("count", [1, 50])
def test_up_to_50_people_in_one_request(notifier, failed, sent, count):
    notifier(recipients=IDS[:count])(failed)
    [body] = sent()
    assert [one["external_user_id"] for one in body["recipients"]] == IDS[:count]


def test_recipients_of_every_kind_and_each_of_them_once(notifier, failed, sent):
    kim = {"email": "kim@example.com", "prioritization": ["identified", "most_recently_updated"]}
    alias = {"user_alias": {"alias_name": "noor", "alias_label": "pager"}}
    notifier(recipients=["7", 7, kim, alias, kim, {"external_user_id": "7"}])(failed)
    [body] = sent()
    assert body["recipients"] == [{"external_user_id": "7"}, kim, alias]


def test_a_recipients_own_values_reach_braze(notifier, failed, sent):
    notifier(recipients=[{"external_user_id": "7", "trigger_properties": {"shift": "night"}}])(failed)
    assert sent()[0]["recipients"] == [{"external_user_id": "7", "trigger_properties": {"shift": "night"}}]


def test_a_template_may_give_the_whole_list(notifier, failed, sent):
    notifier(recipients="{{ people | tojson }}")({**failed, "people": ["a", 7]})
    assert [one["external_user_id"] for one in sent()[0]["recipients"]] == ["a", "7"]


@pytest.mark.parametrize(
    "people_and_words",
    [
        (IDS, "51 entries"),
        ([], "names nobody"),
        (None, "is missing"),
        ("on-call-kim", "is of type str"),
        (7, "is of type int"),
        ([None], "[0] must be"),
        ([" "], "[0] must be"),
    ],
)
def test_what_a_template_renders_to_is_checked_as_well(notifier, failed, sent, refused, people_and_words):
    people, words = people_and_words
    call = notifier(recipients="{{ people | tojson }}")
    refused(BrazeValidationError, lambda: call({**failed, "people": people}), words, "nothing was sent")
    assert sent() == []


def test_templates_of_every_field(notifier, failed, sent, connection, braze_emulator):
    connection("braze_ops", host=braze_emulator.url, password=braze_emulator.api_key)
    notifier(
        braze_conn_id="braze_{{ where }}",
        campaign_id="{{ campaign }}",
        recipients=["on-call-{{ who }}"],
        trigger_properties={"title": "{{ ti.task_id }} of {{ facts.dag_id }}: {{ facts.error }}"},
    )({**failed, "where": "ops", "campaign": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "who": "kim"})
    [body] = sent()
    assert body["campaign_id"] == "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
    assert body["recipients"] == [{"external_user_id": "on-call-kim"}]
    assert body["trigger_properties"]["title"] == "load of nightly_load: ValueError: no such table: orders"


def test_one_notifier_serves_many_contexts(notifier, failed, sent):
    call = notifier(trigger_properties={"title": "{{ facts.task_id }}"})
    for name in ("extract", "load"):
        failed["ti"].task_id = name
        call(failed)
    assert [body["trigger_properties"]["title"] for body in sent()] == ["extract", "load"]


def test_messages_to_ids_and_aliases(notifier, failed, sent, braze_emulator):
    body = {**EMAIL["email"], "subject": "{{ facts.dag_id }} failed", "body": "{{ facts.error }}"}
    alias = {"alias_name": "noor", "alias_label": "pager"}
    notifier(
        messages={"email": body},
        recipients=["on-call-kim", {"user_alias": alias}],
        recipient_subscription_state="all",
        override_frequency_capping=True,
    )(failed)
    [request] = braze_emulator.requests()
    assert request["path"] == "/messages/send"
    assert request["body"] == {
        "external_user_ids": ["on-call-kim"],
        "user_aliases": [alias],
        "messages": {
            "email": {**body, "subject": "nightly_load failed", "body": "ValueError: no such table: orders"},
        },
        "recipient_subscription_state": "all",
        "override_frequency_capping": True,
    }


def test_messages_to_external_user_ids(notifier, failed, sent):
    notifier(messages=EMAIL, external_user_ids=["on-call-kim", 7])(failed)
    assert sent() == [{"external_user_ids": ["on-call-kim", "7"], "messages": EMAIL}]


def test_messages_that_break_a_rule_of_braze(notifier, failed, sent, refused):
    call = notifier(messages={"email": {"body": "Help"}})
    refused(BrazeValidationError, lambda: call(failed), "messages_send", "email.app_id", "nothing was sent")
    assert sent() == []
