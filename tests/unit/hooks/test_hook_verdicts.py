"""test_connection: a yes or no, and words that a person can act on."""

from __future__ import annotations

import time

import pytest

from airflow_provider_braze.hooks.braze import BrazeHook

KEY = "local-emulator-key"


def verdict(key=KEY):
    """The answer, of the exact shape that Airflow wants, and never with the key."""
    answer = BrazeHook().test_connection()
    assert type(answer) is tuple and list(map(type, answer)) == [bool, str]
    connected, text = answer
    assert text.strip()
    assert "\n" not in text
    assert key not in text
    return connected, text


def refusal(*words, key=KEY):
    connected, text = verdict(key)
    assert not connected
    assert [word for word in words if word not in text] == [], text
    return text


def test_success(braze_emulator):
    assert verdict() == (True, "Connected: Braze accepts the key and lists 6 campaigns on the first page.")
    [request] = braze_emulator.requests()
    assert (request["method"], request["path"]) == ("GET", "/campaigns/list")


@pytest.mark.usefixtures("braze_emulator")
def test_success_with_a_key_that_only_reads(connection):
    connection(password="local-emulator-read-only-key")
    assert verdict("local-emulator-read-only-key")[0]


@pytest.mark.usefixtures("braze_emulator")
def test_a_wrong_key(connection):
    connection(password="wrong-key-9f3")
    refusal("Wrong key", "REST API key", "one instance only", key="wrong-key-9f3")


def test_a_wrong_key_that_braze_repeats(braze_emulator, connection):
    connection(password="echoed-key-9f3")
    braze_emulator.inject("echo_key_401")
    text = refusal("Wrong key", "Invalid API key: ***", key="echoed-key-9f3")
    assert "9f3" not in text


def test_a_missing_permission(braze_emulator, connection):
    sender = {"name": "sends", "key": "key-that-only-sends", "permissions": ["campaigns.trigger.send"]}
    braze_emulator.reset({"api_keys": [sender]})
    connection(password=sender["key"])
    refusal("Missing permission", "campaigns.list", "Sending may work all the same", "make a key", key=sender["key"])
    connected = BrazeHook().call(
        "campaigns_trigger_send",
        {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "recipients": [{"external_user_id": "u-1"}]},
    )
    assert connected["message"] == "success"


@pytest.mark.usefixtures("braze_emulator")
def test_an_address_that_is_not_allowed(connection):
    connection(password="local-emulator-office-key")
    refusal("allowed IP addresses", key="local-emulator-office-key")


def test_a_closed_port(connection, free_port):
    connection(host=f"http://127.0.0.1:{free_port}", password=KEY)
    refusal("Wrong host", "rest.iad-01.braze.com")


def test_a_name_that_does_not_exist(connection):
    connection(host="rest.no-such-instance.invalid", password=KEY)
    refusal("Wrong host", "rest.iad-01.braze.com")


@pytest.mark.parametrize("host", ["rest iad-01", "rest.iad-01.braze.com:abc", "rest..braze.com", "https://[rest"])
def test_hosts_that_are_none(connection, host):
    connection(host=host, password=KEY)
    assert "host" in refusal("rest.iad-01.braze.com").casefold()


@pytest.mark.parametrize("status", [200, 201, 404, 403, 400, 405])
def test_another_server_with_html(connection, other_server, status):
    connection(host=other_server(status, b"<!doctype html><title>Shop</title><h1>Welcome</h1>"), password=KEY)
    text = refusal("rest.iad-01.braze.com")
    assert "host" in text.casefold()
    assert "Welcome" not in text


@pytest.mark.parametrize("content", [b'{"status": "ok"}', b"{}", b"[]", b'"pong"', b""])
def test_another_server_with_json(connection, other_server, content):
    connection(host=other_server(200, content, **{"content-type": "application/json"}), password=KEY)
    assert "host" in refusal("rest.iad-01.braze.com").casefold()


@pytest.mark.parametrize("status", [301, 302, 308])
def test_another_server_that_sends_elsewhere(connection, other_server, status):
    connection(host=other_server(status, b"", location="https://www.braze.com/"), password=KEY)
    assert "host" in refusal("rest.iad-01.braze.com").casefold()


def test_a_slow_answer(braze_emulator, connection):
    connection(extra={"timeout": 1})
    braze_emulator.inject("slow", seconds=600)
    began = time.monotonic()
    text = refusal("rest.iad-01.braze.com")
    assert time.monotonic() - began < 60
    assert "acted on" not in text, "a question has nothing to act on"


def test_no_quota_left(braze_emulator):
    braze_emulator.inject("rate_limited", retry_after=600.0)
    began = time.monotonic()
    refusal("quota", "later")
    assert time.monotonic() - began < 60, "it must not wait for the window"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_braze_in_trouble(braze_emulator, status):
    braze_emulator.inject("server_error", status=status)
    refusal("trouble", "later")


def test_a_gateway_that_gave_up(braze_emulator):
    braze_emulator.inject("server_error", status=504)
    refusal("504")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": "dashboard-01.braze.com"}, "not a REST endpoint"),
        ({"host": "http://rest.iad-01.braze.com"}, "https"),
        ({"host": ""}, "no usable host"),
        ({"password": ""}, "no usable key"),
        ({"extra": {"timeout": "soon"}}, "timeout"),
    ],
)
def test_a_connection_that_cannot_be_used(braze_emulator, connection, fields, words):
    connection(**fields)
    refusal(words)
    assert braze_emulator.requests() == []
