"""What can be wrong, what the task says then, and that nobody was messaged, or nobody twice."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeValidationError
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError

PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
MANY = [f"p{number}" for number in range(150)]


@pytest.mark.usefixtures("airflow_db")
def test_a_missing_connection(refused):
    error = refused(
        *(BrazeConfigurationError, "'nowhere'", "Admin > Connections", "REST API key"),
        braze_conn_id="nowhere",
        recipients=["u-1"],
    )
    assert not isinstance(error, AirflowFailException), "nothing was sent: a retry is fine"


@pytest.mark.parametrize(
    "case",
    [
        ({"campaign_id": "no-such-id"}, {}, ["400", "campaign"]),
        ({"campaign_id": PAUSED}, {}, ["paused"]),
        ({}, {"password": "local-emulator-read-only-key"}, ["403", "make a new key with the permission"]),
        ({}, {"password": "local-emulator-office-key"}, ["403", "allowed addresses"]),
        ({}, {"password": "unknown"}, ["401", "Check the connection's password"]),
    ],
    ids=["unknown campaign", "paused campaign", "missing permission", "wrong network", "wrong key"],
)
def test_refusals_stop_at_the_first_request(refused, braze_emulator, connection, case):
    parameters, fields, words = case
    connection(**fields)
    error = refused(BrazeNobodyMessagedError, "Nobody was messaged", *words, recipients=MANY, **parameters)
    assert not isinstance(error, AirflowFailException), "the same may be tried again"
    assert len(braze_emulator.requests()) == 1, "what is wrong for all shows on one"
    assert (error.report["failed"], error.report["skipped"], error.report["accepted"]) == (50, 100, 0)


def test_a_closed_port(refused, connection, monkeypatch):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    connection(host="http://127.0.0.1:9")
    error = refused(BrazeNobodyMessagedError, "nothing was sent", recipients=MANY)
    assert not isinstance(error, AirflowFailException)
    assert (error.report["skipped"], error.report["requests"]) == (150, 0)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"campaign_id": ""}, ["campaign_id"]),
        ({"campaign_id": 7}, ["campaign_id"]),
        ({"send_id": "x" * 65}, ["send_id"]),
        ({"send_id": "wöchentlich"}, ["send_id"]),
        ({"trigger_properties": {"a": "x" * 50_001}}, ["trigger_properties", "50 KB"]),
        ({"trigger_properties": "week 47"}, ["trigger_properties"]),
        ({"attachments": [{"file_name": "a.pdf"}]}, ["attachments[0].url"]),
        ({"audience": {"AND": []}}, ["audience"]),
    ],
)
def test_payloads_that_break_a_rule(refused, braze_emulator, parameters, words):
    error = refused(BrazeValidationError, "nothing was sent", *words, recipients=["u-1"], **parameters)
    assert error.problems
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("fault", [("notice_in_201", {}), ("echo_key_401", {}), ("html_error_page", {"status": 403})])
def test_a_refusal_halfway_is_final(send, people, braze_emulator, connection, fault):
    kind, options = fault
    connection(extra={"lanes": 1})
    braze_emulator.inject(kind, skip=1, **options)
    with pytest.raises(BrazeDeliveryError, match="Not everybody got through") as caught:
        send(recipients=MANY)
    assert isinstance(caught.value, AirflowFailException)
    assert not isinstance(caught.value, BrazeNobodyMessagedError)
    report = caught.value.report
    assert (report["accepted"], report["failed"], report["skipped"]) == (50, 50, 50)
    assert len(people()) == 50


@pytest.mark.parametrize("kind", ["drop_after_acceptance", "garbage_201", "empty_201"])
def test_after_a_lost_answer_nothing_is_repeated(send, people, braze_emulator, connection, kind):
    connection(extra={"lanes": 1})
    braze_emulator.inject(kind, skip=1)
    with pytest.raises(BrazeDeliveryError, match="50 recipients are in doubt") as caught:
        send(recipients=MANY)
    assert isinstance(caught.value, AirflowFailException)
    report = caught.value.report
    assert (report["accepted"], report["unknown"], report["skipped"]) == (50, 50, 50)
    assert json.loads(json.dumps(report)) == report
    assert set(people().values()) == {1}
    assert len(people()) == 100


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("server_error", {"status": 500}),
        ("server_error", {"status": 503}),
        ("rate_limited", {"retry_after": 0.0, "header_style": "seconds"}),
    ],
)
def test_what_was_certainly_not_sent_is_repeated(send, people, braze_emulator, kind, options):
    braze_emulator.inject(kind, **options)
    assert send(recipients=MANY)["accepted"] == 150
    assert set(people().values()) == {1}
    assert len(people()) == 150
    assert len(braze_emulator.requests()) == 4


def test_single_recipients_that_braze_names(send, people, braze_emulator):
    braze_emulator.inject("errors_in_201", indexes=[1, 2], text="user p2 is unknown", style="objects")
    with pytest.raises(BrazeDeliveryError) as caught:
        send(recipients=["person-a", "person-b", "person-c", "person-d"])
    assert (caught.value.report["accepted"], caught.value.report["failed"]) == (2, 2)
    assert "person-" not in str(caught.value) + json.dumps(caught.value.report)
    assert people() == {"person-a": 1, "person-d": 1}


@pytest.mark.usefixtures("warehouse")
def test_a_query_that_fails(task, braze_emulator):
    from airflow_provider_braze.delivery.audience import SqlAudience

    with pytest.raises(Exception, match="no such table: customers"):
        task(recipients=SqlAudience("warehouse", "SELECT id AS external_user_id FROM customers")).execute({})
    assert braze_emulator.requests() == []


def test_an_upstream_that_breaks_halfway(task, braze_emulator):
    def stream():
        yield from MANY
        raise RuntimeError("the cursor broke")

    with pytest.raises(RuntimeError, match="the cursor broke"):
        task(recipients=stream()).execute({})
    assert braze_emulator.requests() == []


def test_unknown_parameters_are_refused_when_the_dag_is_parsed(task):
    with pytest.raises((TypeError, AirflowException), match="recipient"):
        task(recipient=["u-1"])
