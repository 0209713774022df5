"""From an Airflow connection to a client: what is accepted, what is refused, and in which words."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.hooks.braze import BrazeHook

KEY = "a0b1c2d3-key-of-the-connection"
REST = "rest.iad-01.braze.com"


def urls():
    """Where a single call and an asynchronous one go by the connection, and with which key."""
    seen = []

    def answer(request):
        seen.append((f"{request.url.scheme}://{request.url.netloc.decode()}", request.headers["authorization"]))
        return httpx.Response(200, json={"message": "success", "campaigns": []})

    transport = httpx.MockTransport(answer)
    hook = BrazeHook(transport=transport, async_transport=transport)
    hook.call("campaigns_list")
    asyncio.run(hook.acall("campaigns_list"))
    return seen


def refusal(connection, **fields):
    connection(**{"host": REST, "password": KEY, **fields})
    texts = []
    for connect in (BrazeHook().get_conn, BrazeHook().get_async_conn):
        with pytest.raises(BrazeConfigurationError) as caught:
            connect()
        assert isinstance(caught.value, AirflowException)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert KEY not in texts[0]
    return texts[0]


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": REST}, f"https://{REST}"),
        ({"host": f"https://{REST}"}, f"https://{REST}"),
        ({"host": f"https://{REST}/"}, f"https://{REST}"),
        ({"host": f"  {REST} "}, f"https://{REST}"),
        ({"host": REST, "schema": "https"}, f"https://{REST}"),
        ({"host": REST, "port": 8443}, f"https://{REST}:8443"),
        ({"host": f"{REST}:8443"}, f"https://{REST}:8443"),
        ({"host": "http://127.0.0.1:8010"}, "http://127.0.0.1:8010"),
        ({"host": "http://127.0.0.1", "port": 8010}, "http://127.0.0.1:8010"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8010}, "http://127.0.0.1:8010"),
        ({"host": "http://localhost:8010"}, "http://localhost:8010"),
        ({"host": "http://[::1]:8010"}, "http://[::1]:8010"),
        ({"host": "https://braze.proxy.internal"}, "https://braze.proxy.internal"),
    ],
)
def test_hosts(connection, fields, url):
    connection(password=KEY, **fields)
    assert urls() == [(url, f"Bearer {KEY}")] * 2


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        (f"braze://:{KEY}@{REST}", f"https://{REST}"),
        (f"braze://:{KEY}@{REST}/https", f"https://{REST}"),
        (f"braze://:{KEY}@https%3A%2F%2F{REST}", f"https://{REST}"),
        (f"braze://:{KEY}@127.0.0.1:8010/http", "http://127.0.0.1:8010"),
        (f"braze://:{KEY}@http%3A%2F%2F127.0.0.1:8010", "http://127.0.0.1:8010"),
    ],
)
def test_a_connection_as_uri(monkeypatch, uri, url):
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", f"{uri}?timeout=5&lanes=3")
    assert urls() == [(url, f"Bearer {KEY}")] * 2
    assert BrazeHook().get_async_conn().lanes == 3


def test_the_uris_key_arrives(monkeypatch, braze_emulator):
    port = braze_emulator.url.rpartition(":")[2]
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", f"braze://:{braze_emulator.api_key}@127.0.0.1:{port}/http")
    assert BrazeHook("other").call("campaigns_list")["message"] == "success"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": ""}, ["no usable host", "rest.iad-01.braze.com"]),
        ({"host": None}, ["no usable host", "rest.iad-01.braze.com"]),
        ({"host": f"http://{REST}"}, ["unencrypted", "https"]),
        ({"host": REST, "schema": "http"}, ["unencrypted", "https"]),
        ({"host": "http://127.0.0.1.example.com"}, ["unencrypted", "https"]),
        ({"host": "http://10.0.0.1"}, ["unencrypted", "https"]),
        ({"host": "ftp://" + REST}, ["no usable host", "rest.iad-01.braze.com"]),
        ({"host": f"https://user@{REST}"}, ["no usable host"]),
        (
            {"host": "dashboard-01.braze.com"},
            ["dashboard-01.braze.com", "not a REST endpoint", "https://www.braze.com"],
        ),
        (
            {"host": "https://dashboard.braze.eu"},
            ["dashboard.braze.eu", "not a REST endpoint", "https://www.braze.com"],
        ),
        ({"host": "sdk.iad-01.braze.com"}, ["not a REST endpoint"]),
        ({"host": f"https://{REST}/campaigns"}, ["no path", f"use https://{REST} alone"]),
        ({"host": f"{REST}/campaigns"}, ["no path", f"use {REST} alone", "Connection 'braze_default': "]),
        ({"host": "http://127.0.0.1:8011/api"}, ["no path", "use http://127.0.0.1:8011 alone"]),
        ({"host": "https://[rest.iad-01.braze.com"}, ["no usable host"]),
        ({"password": ""}, ["no usable key", "password"]),
        ({"password": None}, ["no usable key", "password"]),
        ({"password": "two words"}, ["no usable key", "spaces"]),
        ({"password": "line\nbreak"}, ["no usable key", "line breaks"]),
        ({"password": "schlüssel"}, ["no usable key"]),
    ],
)
def test_refusals_say_what_to_do(connection, fields, words):
    text = refusal(connection, **fields)
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize("lanes", [1, 256, "16", 16.0])
def test_good_lanes(connection, lanes):
    connection(host=REST, password=KEY, extra={"lanes": lanes})
    assert BrazeHook().get_async_conn().lanes == int(float(lanes))


@pytest.mark.parametrize("extra", [None, {}, {"lanes": None}, {"lanes": ""}, {"timeout": 600}, {"timeout": "1.5"}])
def test_defaults_where_extra_says_nothing(connection, extra):
    connection(host=REST, password=KEY, extra=extra)
    assert BrazeHook().get_async_conn().lanes == 16


@pytest.mark.parametrize(
    ("extra", "least", "most"),
    [
        *(({"lanes": value}, "1", "256") for value in (0, -1, 257, "many", "nan", "inf", [4], {"n": 4})),
        *(({"timeout": value}, "1", "600") for value in (0, 0.5, -30, 601, "half a minute", "nan", "inf")),
    ],
)
def test_bad_extras_are_refused(connection, extra, least, most):
    [name] = extra
    text = refusal(connection, extra=extra)
    assert f"'{name}'" in text
    assert f"from {least} to {most}" in text


@pytest.mark.parametrize("extra", [{"lanes": 2.5}, {"lanes": True}, {"timeout": True}])
def test_extras_of_another_kind_are_not_bent(connection, extra):
    [name] = extra
    assert f"'{name}'" in refusal(connection, extra=extra)


@pytest.mark.usefixtures("airflow_db")
def test_a_missing_connection():
    hook = BrazeHook("no_such_connection")
    with pytest.raises(BrazeConfigurationError) as caught:
        hook.get_conn()
    assert isinstance(caught.value, AirflowException)
    text = str(caught.value)
    assert [word for word in ("'no_such_connection'", "Admin > Connections", "REST API key") if word not in text] == []
    assert hook.test_connection() == (False, text)


def test_the_form_for_airflow_3_1():
    behaviour = BrazeHook.get_ui_field_behaviour()
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
    assert behaviour["relabeling"]["password"] == "REST API key"
