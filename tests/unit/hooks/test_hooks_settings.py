"""What the connection's extras mean, what they refuse, and whether the key is of the workspace that is meant."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import Connection

from airflow_provider_braze.api import errors
from airflow_provider_braze.get_provider_info import CONN_FIELDS
from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.hooks.settings import Settings, read_settings
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

KEY = "a0b1c2d3-key-of-the-connection"
REST = "rest.iad-01.braze.com"
WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
DASHBOARD = "https://dashboard-03.braze.com/engagement/campaigns/{campaign_id}"


@pytest.fixture
def settings(connection):
    """Read the settings of a connection with extras."""

    def read(**extra):
        connection(host=REST, password=KEY, extra=extra)
        return BrazeHook().settings

    return read


@pytest.fixture
def refusal(connection):
    """The error about an extra, from wherever the connection is used; it names the extra."""

    def read(**extra):
        connection(host=REST, password=KEY, extra=extra)
        texts = set()
        for use in ("settings", "get_conn", "get_async_conn"):
            with pytest.raises(errors.BrazeConfigurationError) as caught:
                found = getattr(BrazeHook(), use)
                found()
            assert isinstance(caught.value, AirflowException)
            texts.add(str(caught.value))
        [text] = texts
        assert BrazeHook().test_connection() == (False, text)
        assert KEY not in text
        return text

    return read


def test_what_holds_where_extra_says_nothing(settings):
    expected = {
        "host": REST,
        "key": KEY,
        "timeout": 30,
        "lanes": 16,
        "max_requests_per_second": None,
        "quota_reserve": 0.02,
        "staging": None,
        "workspace": None,
        "workspace_campaign_id": None,
        "dashboard_url": None,
    }
    assert dataclasses.asdict(settings()) == expected
    assert dataclasses.asdict(settings(**dict.fromkeys(CONN_FIELDS))) == expected
    assert dataclasses.asdict(settings(**dict.fromkeys(CONN_FIELDS, ""))) == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("test_recipient", "did you mean 'test_recipients'?"),
        ("testRecipients", "did you mean 'test_recipients'?"),
        ("lane", "did you mean 'lanes'?"),
        ("workspace_id", "did you mean 'workspace'?"),
        ("zzz", "It knows test_recipients, "),
    ],
)
def test_an_extra_that_nobody_reads_is_refused(refusal, braze_emulator, connection, name, meant):
    text = refusal(**{name: ["qa-1"]})
    assert text.startswith(f"Connection 'braze_default': The connection's extra {name!r} is none of this provider's")
    assert meant in text
    connection(host=braze_emulator.url, password=braze_emulator.api_key, extra={name: ["qa-1"]})
    with pytest.raises(errors.BrazeConfigurationError):
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=["somebody"]).execute({})
    assert braze_emulator.requests() == []


def test_the_form_has_every_extra_and_no_other():
    read = {field.name for field in dataclasses.fields(Settings)} - {"host", "key", "staging"}
    assert set(CONN_FIELDS) == read | {"test_recipients", "test_recipients_others"}
    assert all(field["label"] and field["description"].endswith(".") for field in CONN_FIELDS.values())
    assert all("null" in field["schema"]["type"] for field in CONN_FIELDS.values())


GOOD = [
    ("max_requests_per_second", 5, 5.0),
    ("max_requests_per_second", "0.5", 0.5),
    ("quota_reserve", 0, 0.0),
    ("quota_reserve", "0.25", 0.25),
    ("quota_reserve", 5000, 5000.0),
    ("workspace", " staging ", "staging"),
    ("workspace_campaign_id", WEEKLY, WEEKLY),
    ("dashboard_url", DASHBOARD, DASHBOARD),
    ("dashboard_url", "http://127.0.0.1:8010/?w={workspace}&c={canvas_id}", None),
    ("dashboard_url", "https://dashboard-03.braze.com", None),
]


@pytest.mark.parametrize(("name", "value", "meant"), GOOD)
def test_good_extras(settings, name, value, meant):
    found = getattr(settings(**{name: value}), name)
    assert (found, type(found)) == ((meant or value), type(meant or value)) or found == meant


BAD = [
    *(("max_requests_per_second", value, "a number above 0") for value in (0, -1, "many", "nan", "inf", True, [5])),
    *(("quota_reserve", value, "a number of at least 0") for value in (-0.1, "some", "inf", False, {"n": 1})),
    *(("workspace", value, "the name of a workspace") for value in (5, ["staging"], "  ")),
    *(("workspace_campaign_id", value, "API identifier of a campaign") for value in (5, {"id": WEEKLY}, "\n")),
    *(("test_recipients_others", value, "'refuse' or 'rewrite'") for value in ("drop", True, 1, ["refuse"])),
    *(("test_recipients", value, "JSON list") for value in ({"id": 7}, 7, True, '["t-1"', '[1] "x"')),
    *(("test_recipients", value, "holds nobody") for value in ([], " ", ",", "[]")),
    *(("test_recipients", value, "Entry 2 ") for value in (["t", ""], '["t", null]', "t, secret.person@", ["t", [7]])),
    *(
        ("dashboard_url", value, "with http or https")
        for value in (
            "dashboard-03.braze.com",
            "javascript:alert(1)",
            "ftp://dashboard-03.braze.com",
            "https://",
            "https://secret.person:pw@dashboard-03.braze.com",
            "https://dashboard-03.braze.com/a b",
            "https://dashboard-03.braze.com/\x07",
            "https://[dashboard",
        )
    ),
    *(
        ("dashboard_url", f"https://dashboard-03.braze.com/{value}", "{campaign_id}, {canvas_id}, {workspace}")
        for value in ("{segment_id}", "{}", "{campaign_id", "}", "{campaign_id.real}", "{{campaign_id}}")
    ),
    ("dashboard_url", 5, "must be a text"),
]


@pytest.mark.parametrize(("name", "value", "words"), BAD, ids=str)
def test_bad_extras_say_which_and_what_is_expected(refusal, name, value, words):
    text = refusal(**{name: value})
    assert f"'{name}'" in text
    assert words in text
    assert "secret" not in text


@pytest.mark.parametrize("others", ["refuse", "rewrite"])
@pytest.mark.parametrize("people", [{}, {"test_recipients": None}, {"test_recipients": ""}])
def test_who_speaks_of_others_without_test_recipients_meant_to_name_some(refusal, others, people):
    assert "without 'test_recipients'" in refusal(test_recipients_others=others, **people)


@pytest.mark.parametrize(
    "people",
    [
        ["t-1", 7, "kim@example.com"],
        "t-1,7,kim@example.com",
        " t-1, 7 ,, kim@example.com ",
        '["t-1", 7, "kim@example.com"]',
    ],
    ids=str,
)
def test_test_recipients_as_a_list_and_as_a_text(settings, people):
    staging = settings(test_recipients=people).staging
    assert (len(staging), staging.rewrite) == (3, False)
    assert staging.knows({"external_user_id": "7"}) and staging.knows({"email": "KIM@example.com"})
    assert not staging.knows({"external_user_id": "t-2"})
    assert settings(test_recipients=people, test_recipients_others="refuse").staging.rewrite is False
    assert settings(test_recipients=people, test_recipients_others="rewrite").staging.rewrite is True


def test_extras_of_a_connection_as_uri(monkeypatch):
    extra = "test_recipients=t-1%2Ckim%40example.com&quota_reserve=0.1&max_requests_per_second=5&workspace=staging"
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", f"braze://:{KEY}@{REST}?{extra}")
    settings = BrazeHook().settings
    assert (settings.quota_reserve, settings.max_requests_per_second, settings.workspace) == (0.1, 5.0, "staging")
    assert len(settings.staging) == 2


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.parametrize("extra", ['{"test_recipients": ["t-1"]', "test_recipients=t-1", '["t-1"]', '"t-1"', "7"])
def test_an_extra_that_airflow_would_take_for_empty_is_refused(monkeypatch, extra):
    fields = {"conn_type": "braze", "host": REST, "password": KEY, "extra": extra}
    with pytest.raises(errors.BrazeConfigurationError, match="extra is no JSON object"):
        read_settings(Connection(conn_id="braze_default", **fields))
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", json.dumps(fields))
    # Airflow 3.1 passes over such a connection and says that there is none.
    with pytest.raises(errors.BrazeConfigurationError):
        BrazeHook().get_conn()


def test_the_connection_is_read_once(connection):
    connection(host=REST, password=KEY, extra={"lanes": 3})
    hook = BrazeHook()
    first = hook.settings
    connection(host="elsewhere.example.com", extra={"lanes": 4})
    assert hook.settings is first
    assert hook.get_async_conn().lanes == 3
    assert BrazeHook().settings.lanes == 4


def test_its_repr_holds_neither_the_key_nor_people(settings):
    shown = repr(settings(test_recipients=["secret.person@example.com"]))
    assert REST in shown
    assert KEY not in shown
    assert "secret" not in shown


def hook_calls():
    def blocking(body):
        return BrazeHook().call("campaigns_trigger_send", body)

    def waiting(body):
        return asyncio.run(BrazeHook().acall("campaigns_trigger_send", body))

    def client(body):
        return BrazeHook().get_conn().call("campaigns_trigger_send", body)

    def async_client(body):
        return asyncio.run(BrazeHook().get_async_conn().call("campaigns_trigger_send", body))

    return [blocking, waiting, client, async_client]


STRANGER = {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "secret-person"}]}


@pytest.mark.parametrize("call", hook_calls())
@pytest.mark.parametrize("body", [STRANGER, {"campaign_id": WEEKLY, "broadcast": True}], ids=["a person", "everybody"])
def test_every_way_to_braze_is_guarded(braze_emulator, connection, call, body):
    connection(extra={"test_recipients": ["t-1"]})
    with pytest.raises(errors.BrazeGuardError, match="nothing was sent") as caught:
        call(body)
    assert "secret" not in str(caught.value)
    assert braze_emulator.requests() == []
    call({"campaign_id": WEEKLY, "recipients": [{"external_user_id": "t-1"}]})
    assert braze_emulator.deliveries() == {"external_user_id:t-1": 1}


@pytest.mark.parametrize("call", hook_calls())
def test_every_way_to_braze_is_rewritten(braze_emulator, connection, call):
    connection(extra={"test_recipients": ["t-1"], "test_recipients_others": "rewrite"})
    call(STRANGER)
    assert braze_emulator.deliveries() == {"external_user_id:t-1": 1}
    with pytest.raises(errors.BrazeGuardError, match="a broadcast"):
        call({"campaign_id": WEEKLY, "broadcast": True})
    assert len(braze_emulator.requests()) == 1


def test_a_refusal_of_the_hook_is_airflows(braze_emulator, connection):
    connection(extra={"test_recipients": ["t-1"]})
    with pytest.raises(errors.BrazeGuardError) as caught:
        BrazeHook().call("campaigns_trigger_send", STRANGER)
    assert isinstance(caught.value, AirflowException)


@pytest.fixture
def wrong_workspace(connection, braze_emulator):
    """The error of a check; gives its text, and how many requests it took."""

    def check(expected=None, **fields):
        connection(**fields)
        with pytest.raises(errors.BrazeConfigurationError) as caught:
            BrazeHook().check_workspace(expected)
        assert isinstance(caught.value, AirflowException)
        text = str(caught.value)
        assert "othing was sent" in text
        assert braze_emulator.deliveries() == {}
        return text, len(braze_emulator.requests())

    return check


@pytest.mark.parametrize(
    ("extra", "expected"), [({}, None), ({"workspace": "staging"}, None), ({"workspace": "staging"}, "staging")]
)
def test_names_that_agree(braze_emulator, connection, extra, expected):
    connection(extra=extra)
    BrazeHook().check_workspace(expected)
    assert braze_emulator.requests() == []


@pytest.mark.parametrize(
    ("extra", "whose"), [({"workspace": "production"}, "is for 'production'"), ({}, "is for none that its extra")]
)
@pytest.mark.parametrize("expected", ["staging", "", "Production"])
def test_names_that_do_not_agree(wrong_workspace, extra, whose, expected):
    text, requests = wrong_workspace(expected, extra=extra)
    assert f"This task is for workspace {expected!r}, connection 'braze_default' {whose}" in text
    assert requests == 0


def test_a_name_that_disagrees_is_found_before_braze_is_asked(wrong_workspace):
    extra = {"workspace": "production", "workspace_campaign_id": WEEKLY}
    assert wrong_workspace("staging", extra=extra)[1] == 0


@pytest.mark.parametrize("expected", [None, "staging"])
def test_a_key_that_knows_the_campaign(braze_emulator, connection, expected):
    connection(extra={"workspace": "staging", "workspace_campaign_id": WEEKLY})
    hook = BrazeHook()
    hook.check_workspace(expected)
    hook.check_workspace(expected)
    assert [request["path"] for request in braze_emulator.requests()] == ["/campaigns/details"]
    BrazeHook().check_workspace(expected)
    assert len(braze_emulator.requests()) == 2


@pytest.mark.parametrize("expected", [None, "staging"])
def test_a_key_of_another_workspace(wrong_workspace, expected):
    extra = {"workspace": "staging", "workspace_campaign_id": "00000000-0000-4000-8000-000000000000"}
    text, _ = wrong_workspace(expected, extra=extra)
    assert "The key of connection 'braze_default' is not of workspace 'staging': it does not know campaign" in text
    assert extra["workspace_campaign_id"] in text


def test_a_key_that_failed_is_asked_about_again(braze_emulator, connection):
    connection(extra={"workspace_campaign_id": WEEKLY})
    braze_emulator.inject("server_error", status=503)
    hook = BrazeHook()
    with pytest.raises(errors.BrazeServerError):
        hook.check_workspace()
    hook.check_workspace()
    assert len(braze_emulator.requests()) == 2


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (404, b'{"message": "Not found"}'),
        (400, b'{"message": "Invalid campaign id"}'),
        (404, b"<html>"),
        (200, b'{"message": "success"}'),
        (200, b'{"message": "success", "name": ""}'),
        (200, b'{"message": "Campaign not found"}'),
    ],
)
def test_answers_that_know_no_campaign(wrong_workspace, other_server, status, content):
    host = other_server(status, content, **{"content-type": "application/json"})
    text, _ = wrong_workspace(host=host, extra={"workspace_campaign_id": WEEKLY})
    assert "is not of the workspace that the connection is for: it does not know campaign" in text


@pytest.mark.parametrize("key", ["key-that-only-sends", "no-such-key"])
def test_a_key_that_may_not_ask(wrong_workspace, braze_emulator, key):
    sender = {"name": "sends", "key": "key-that-only-sends", "permissions": ["campaigns.trigger.send"]}
    braze_emulator.reset({"api_keys": [sender]})
    text, _ = wrong_workspace(password=key, extra={"workspace_campaign_id": WEEKLY})
    assert "permission campaigns.details" in text
    assert key not in text
