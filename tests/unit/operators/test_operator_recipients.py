"""Who is meant: the shapes that recipients come in, and that nobody else is ever messaged."""

from __future__ import annotations

import json

import pytest

from airflow_provider_braze.api.errors import BrazeValidationError
from airflow_provider_braze.delivery.audience import ListAudience, SqlAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError

ALIAS = {"user_alias": {"alias_label": "crm_id", "alias_name": "crm-1001"}}


@pytest.mark.parametrize(
    ("recipients", "reached"),
    [
        (["u-1", "u-2"], {"u-1": 1, "u-2": 1}),
        (("u-1", "u-2"), {"u-1": 1, "u-2": 1}),
        ([7, 8], {"7": 1, "8": 1}),
        ([7, "7", {"external_user_id": 7}], {"7": 1}),
        ([{"external_user_id": "u-1"}, "u-3"], {"u-1": 1, "u-3": 1}),
        ([ALIAS], {"crm_id:crm-1001": 1}),
        ([{"email": "kim@example.com", "prioritization": ["identified"]}], {"u-1": 1}),
        ('["u-1", {"external_user_id": "u-2"}, 3]', {"3": 1, "u-1": 1, "u-2": 1}),
        ((f"u-{number}" for number in range(2)), {"u-0": 1, "u-1": 1}),
        (ListAudience(["u-1"]), {"u-1": 1}),
    ],
    ids=[
        "texts",
        "tuple",
        "integers",
        "the same in three ways",
        "mixed",
        "alias",
        "email",
        "JSON",
        "stream",
        "audience",
    ],
)
def test_shapes_of_recipients(send, people, recipients, reached):
    report = send(recipients=recipients)
    assert people() == reached
    assert report["accepted"] == len(reached)
    assert report["recipients"] == report["accepted"] + report["duplicates"]
    assert report["requests"] == len(report["dispatch_ids"]) == 1


def test_a_long_list_is_split(send, people, braze_emulator):
    report = send(recipients=[f"p{number}" for number in range(120)] + ["p0"])
    assert (report["recipients"], report["duplicates"], report["accepted"], report["requests"]) == (121, 1, 120, 3)
    assert sorted(len(request["body"]["recipients"]) for request in braze_emulator.requests()) == [20, 50, 50]
    assert set(people().values()) == {1}
    assert len(people()) == 120


def test_shared_fields_go_with_every_request(send, braze_emulator, campaign):
    shared = {
        "trigger_properties": {"offer": "Cake", "nested": {"list": [1, 2.5, None, "ü"]}},
        "attachments": [{"file_name": "terms.pdf", "url": "https://example.com/terms.pdf"}],
        "audience": {"AND": [{"custom_attribute": {"custom_attribute_name": "tier", "comparison": "exists"}}]},
        "send_id": "weekly-47",
    }
    send(recipients=[f"p{number}" for number in range(60)], **shared)
    for request in braze_emulator.requests():
        body = request["body"]
        assert len(body.pop("recipients")) in {10, 50}
        expected = json.loads(json.dumps(shared))
        del expected["trigger_properties"]["nested"]["list"], body["trigger_properties"]["nested"]["list"]
        assert body == {"campaign_id": campaign, **expected}


def test_the_report_names_nobody(send):
    people = [
        {"external_user_id": "secret-person-77"},
        {"email": "secret@example.com", "prioritization": ["identified"]},
    ]
    report = send(
        recipients=[*people, {"external_user_id": "secret-person-78", "email": "both@example.com"}], max_invalid=1
    )
    assert (report["accepted"], report["invalid"]) == (2, 1)
    text = json.dumps(report)
    assert "secret" not in text
    assert "both@" not in text


@pytest.mark.parametrize(
    ("recipients", "words"),
    [
        ("u-1", ["recipients is a text", "tojson", ".output"]),
        ("{{ ti.xcom_pull('people') }}", ["recipients is a text"]),
        ("['u-1']", ["recipients is a text", "tojson"]),
        ("None", ["recipients is a text"]),
        ("", ["recipients is a text"]),
        (None, ["recipients is missing", "SqlAudience"]),
        ("null", ["recipients is missing"]),
        ({"external_user_id": "u-1"}, ["recipients is of type dict", "list"]),
        ('{"external_user_id": "u-1"}', ["recipients is of type dict"]),
        (7, ["recipients is of type int"]),
        ("7", ["recipients is of type int"]),
        ('"u-1"', ["recipients is of type str"]),
        (b"u-1", ["recipients is of type bytes"]),
    ],
)
def test_what_is_no_audience(refused, braze_emulator, recipients, words):
    refused(BrazeAudienceError, "nothing was sent", *words, recipients=recipients)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize(
    "entry", [None, [], True, 1.5, {}, {"external_user_id": None}, {"external_user_id": ""}, "", [["u-1"]]]
)
def test_what_is_no_recipient(refused, braze_emulator, entry):
    error = refused(BrazeAudienceError, "1 of 2 recipients cannot be sent", "max_invalid", recipients=["u-1", entry])
    assert "row 2" in str(error)
    assert braze_emulator.requests() == []


def test_nobody_without_a_word(refused, braze_emulator):
    refused(BrazeAudienceError, "recipients is missing")
    refused(BrazeAudienceError, "recipients is missing", broadcast=False)
    refused(BrazeAudienceError, "recipients is missing", broadcast="true")
    refused(BrazeAudienceError, "recipients is missing", broadcast=1)
    assert braze_emulator.requests() == []


def test_filters_alone_reach_nobody(refused, braze_emulator):
    filters = {"custom_attribute": {"custom_attribute_name": "tier", "comparison": "equals", "value": "gold"}}
    refused(BrazeAudienceError, "recipients is missing", audience=filters)
    assert braze_emulator.requests() == []


def test_a_broadcast(send, people, braze_emulator, campaign):
    report = send(broadcast=True, trigger_properties={"offer": "Cake"})
    assert set(people()) >= {"u-1", "u-2", "u-3"}
    [request] = braze_emulator.requests()
    assert request["body"] == {"campaign_id": campaign, "broadcast": True, "trigger_properties": {"offer": "Cake"}}
    assert (report["requests"], report["recipients"]) == (1, 0)
    assert report["send_id"]


@pytest.mark.parametrize("recipients", [["u-1"], '["u-1"]', ListAudience(["u-1"])])
def test_a_broadcast_to_recipients_is_a_contradiction(refused, braze_emulator, recipients):
    refused(BrazeValidationError, "broadcast", "recipients", broadcast=True, recipients=recipients)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("recipients", [[], (), "[]", ListAudience([]), iter(())])
@pytest.mark.parametrize("broadcast", [None, False, True])
def test_an_empty_audience_is_never_a_broadcast(refused, braze_emulator, recipients, broadcast):
    refused(BrazeAudienceError, "empty", "allow_empty=True", recipients=recipients, broadcast=broadcast)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize("broadcast", [None, False, True])
def test_an_empty_audience_that_is_fine(send, people, braze_emulator, broadcast):
    report = send(recipients=[], allow_empty=True, broadcast=broadcast)
    assert (report["recipients"], report["requests"], report["accepted"], report["dispatch_ids"]) == (0, 0, 0, [])
    assert braze_emulator.requests() == []
    assert people() == {}


def test_only_invalid_rows_are_not_an_empty_audience(refused):
    refused(BrazeAudienceError, "None of the 2 recipients can be sent", recipients=[None, {}], max_invalid=5)


@pytest.fixture
def customers(warehouse):
    warehouse(
        "CREATE TABLE customers (id TEXT, name TEXT, city TEXT)",
        "INSERT INTO customers VALUES ('u-1', 'Kim', 'Oslo'), ('u-2', 'Ada', NULL), (NULL, 'Bo', 'Rome')",
    )


pytest_sql = pytest.mark.usefixtures("customers")


@pytest_sql
def test_a_row_without_an_id(refused, send, people):
    audience = SqlAudience("warehouse", "SELECT id AS external_user_id, name FROM customers ORDER BY name DESC")
    error = refused(
        BrazeAudienceError, "1 of 3 recipients", "max_invalid allows 0", "names nobody", recipients=audience
    )
    assert "row 2" in str(error)
    assert "Bo" not in str(error)
    report = send(recipients=audience, max_invalid=1)
    assert (report["recipients"], report["invalid"], report["accepted"]) == (3, 1, 2)
    assert sum(report["invalid_reasons"].values()) == 1
    assert people() == {"u-1": 1, "u-2": 1}


@pytest_sql
def test_columns_become_values(send, braze_emulator):
    send(
        recipients=SqlAudience("warehouse", "SELECT * FROM customers WHERE id > ''", columns={"id": "external_user_id"})
    )
    assert sorted(braze_emulator.requests()[0]["body"]["recipients"], key=str) == [
        {"external_user_id": "u-1", "trigger_properties": {"name": "Kim", "city": "Oslo"}},
        {"external_user_id": "u-2", "trigger_properties": {"name": "Ada"}},
    ]


@pytest_sql
@pytest.mark.parametrize(
    ("audience", "words"),
    [
        ({"sql": "SELECT id, name FROM customers"}, ["(id, name)", "external_user_id", "columns="]),
        ({"sql": "SELECT id FROM customers", "columns": {"key": "external_user_id"}}, ["no column key", "id"]),
        (
            {"sql": "SELECT id, id AS external_user_id FROM customers", "columns": {"id": "external_user_id"}},
            ["Several"],
        ),
        ({"sql": "SELECT id AS alias_name FROM customers"}, ["alias_label"]),
        ({"sql": "SELECT id AS external_user_id FROM customers WHERE id = 'x'"}, ["empty", "allow_empty=True"]),
    ],
)
def test_queries_that_name_nobody(refused, braze_emulator, audience, words):
    refused(BrazeAudienceError, *words, recipients=SqlAudience("warehouse", **audience))
    assert braze_emulator.requests() == []


def test_a_connection_that_is_no_database(refused, connection):
    connection("files", conn_type="braze", host="rest.iad-01.braze.com")
    refused(BrazeAudienceError, "'files'", "no SQL connection", recipients=SqlAudience("files", "SELECT 1"))
