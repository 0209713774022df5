"""Clients: the address, the key, and where the key must not show up."""

import asyncio
import copy
import json
import pickle
import traceback
from urllib.parse import quote, quote_plus

import httpx
import pytest

from airflow_provider_braze.api.client import AsyncBrazeClient, BrazeClient, base_url, find_endpoint
from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeConfigurationError,
    BrazeError,
    BrazeUnauthorizedError,
    BrazeUnknownOutcomeError,
    BrazeValidationError,
    identity_hash,
    mask,
)
from airflow_provider_braze.emulator.faults import KINDS

SEND = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "recipients": [{"external_user_id": "u-1"}]}


def call_sync(url, key, endpoint="campaigns_trigger_send", payload=SEND, **options):
    with BrazeClient(url, key, **options) as client:
        return client.call(endpoint, payload)


def call_async(url, key, endpoint="campaigns_trigger_send", payload=SEND, **options):
    async def run():
        async with AsyncBrazeClient(url, key, **options) as client:
            return await client.call(endpoint, payload)

    return asyncio.run(run())


CALLS = pytest.mark.parametrize("call", [call_sync, call_async], ids=["sync", "async"])


@CALLS
def test_a_send_reaches_the_recipient(braze_emulator, key, call):
    answer = call(braze_emulator.url, key)
    assert answer["message"] == "success"
    assert answer["dispatch_id"]
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@CALLS
def test_a_listing_answers_with_campaigns(braze_emulator, key, call):
    listed = call(braze_emulator.url, key, "campaigns_list", {"sort_direction": "desc", "include_archived": False})
    assert "Win-back" in {campaign["name"] for campaign in listed["campaigns"]}
    assert braze_emulator.requests()[-1]["status"] == 200


@CALLS
def test_an_invalid_request_never_leaves(braze_emulator, key, call):
    with pytest.raises(BrazeValidationError):
        call(braze_emulator.url, key, payload={**SEND, "broadcast": True})
    assert braze_emulator.requests() == []


@CALLS
def test_an_unknown_endpoint_names_the_known_ones(braze_emulator, key, call):
    with pytest.raises(BrazeConfigurationError, match=r"campaigns_list.*campaigns_trigger_send"):
        call(braze_emulator.url, key, "campaign_send")


def test_both_clients_send_the_same_bytes(key):
    seen = []

    def answer(request):
        seen.append((request.method, str(request.url), request.content, sorted(request.headers.raw)))
        return httpx.Response(201, json={"message": "success", "dispatch_id": "d"})

    call_sync("rest.example.com", key, transport=httpx.MockTransport(answer))
    call_async("rest.example.com", key, transport=httpx.MockTransport(answer))
    assert seen[0] == seen[1]
    method, url, content, headers = seen[0]
    assert (method, url, json.loads(content)) == ("POST", "https://rest.example.com/campaigns/trigger/send", SEND)
    values = {name.lower(): value for name, value in headers}
    assert values[b"authorization"] == f"Bearer {key}".encode()
    assert values[b"content-type"] == b"application/json"


@CALLS
@pytest.mark.parametrize("kind", KINDS)
def test_the_key_is_in_no_error_whatever_goes_wrong(braze_emulator, key, call, kind):
    braze_emulator.inject(kind, **({"seconds": 600} if kind == "slow" else {}))
    try:
        outcome = call(braze_emulator.url, key, timeout=0.2 if kind == "slow" else 60)
    except BrazeError as error:
        outcome = error
    assert_hidden(key, outcome)


WRITTEN = {
    "plain": str,
    "quoted": lambda key: quote(key, safe=""),
    "quoted as a path": quote,
    "quoted as a form": quote_plus,
    "quoted in lower case": lambda key: quote(key, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
}
ECHOES = {
    "message": lambda echo: json.dumps({"message": echo}),
    "error": lambda echo: json.dumps({"error": echo}),
    "errors": lambda echo: json.dumps({"message": "no", "errors": [echo]}),
    "errors as objects": lambda echo: json.dumps({"message": "no", "errors": [{"detail": echo}]}),
    "plain text": str,
}


@pytest.mark.parametrize("status", [201, 401, 504])
@pytest.mark.parametrize("write", WRITTEN)
def test_a_key_that_comes_back_is_masked_however_it_is_written(key, write, status):
    echo = WRITTEN[write](key)
    for shape in ECHOES.values():
        answer = httpx.Response(status, text=shape(f"unknown key {echo} here"))
        with pytest.raises(BrazeError) as raised:
            call_sync("rest.example.com", key, transport=httpx.MockTransport(lambda _, answer=answer: answer))
        assert_hidden(key, raised.value)
        assert echo not in str(raised.value)


def test_a_key_that_a_long_text_cuts_in_two_is_masked_too(key):
    for padding in range(150, 205):
        transport = httpx.MockTransport(lambda _, n=padding: httpx.Response(400, text="-" * n + key))
        with pytest.raises(BrazeBadRequestError) as raised:
            call_sync("rest.example.com", key, transport=transport)
        assert key[:6] not in str(raised.value), padding


def assert_hidden(key, outcome):
    shown = [str(outcome), repr(outcome)]
    if isinstance(outcome, BaseException):
        shown += [repr(outcome.args), repr(vars(outcome)), *traceback.format_exception(outcome)]
        shown += [str(outcome.__cause__)]
    for text in shown:
        assert key not in text
        assert quote(key) not in text
        assert quote(key, safe="") not in text


def test_the_key_is_in_no_text_of_a_client_or_a_request(key):
    client = BrazeClient("rest.example.com", key)
    asynchronous = AsyncBrazeClient("rest.example.com", key)
    request = client.build(find_endpoint("campaigns_trigger_send"), SEND)
    for shown in (client, asynchronous, request, [client], {"request": request}):
        assert key not in repr(shown)
        assert key not in str(shown)


@pytest.mark.parametrize("bad", ["", "   ", "two words", "line\nbreak", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_unquoted(bad):
    with pytest.raises(BrazeConfigurationError) as refused:
        BrazeClient("rest.example.com", bad)
    assert not bad.strip() or bad not in str(refused.value)


def test_spaces_around_a_key_do_no_harm(braze_emulator, key):
    assert call_sync(braze_emulator.url, f" {key}\n")["message"] == "success"


def test_a_wrong_key_says_what_to_check(braze_emulator):
    with pytest.raises(BrazeUnauthorizedError, match=r"REST API key.*REST endpoint"):
        call_sync(braze_emulator.url, "another-key")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("rest.iad-01.braze.com", "https://rest.iad-01.braze.com"),
        ("https://rest.iad-01.braze.com/", "https://rest.iad-01.braze.com"),
        (" rest.us-10.braze.com ", "https://rest.us-10.braze.com"),
        ("rest.iad-01.braze.com:8443", "https://rest.iad-01.braze.com:8443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_host_may_come_with_and_without_its_scheme(host, url):
    assert base_url(host) == url


@pytest.mark.parametrize(
    "host",
    [
        "",
        None,
        "https://",
        "ftp://rest.iad-01.braze.com",
        "rest.iad-01.braze.com/campaigns",
        "https://rest.iad-01.braze.com?x=1",
        "https://rest.iad-01.braze.com#x",
        "dashboard-01.braze.com",
        "https://dashboard.us-10.braze.com",
        "sdk.iad-01.braze.com",
        "http://rest.iad-01.braze.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "user:secret@rest.iad-01.braze.com",
        ":secret@rest.iad-01.braze.com",
        "rest iad-01.braze.com",
        "rest.iad-01.braze.com:https",
        "http://127.0.0.1:99999",
        "[::1",
    ],
)
def test_a_host_that_cannot_be_used_is_refused_as_configuration(host):
    with pytest.raises(BrazeConfigurationError) as refused:
        base_url(host)
    assert "secret" not in str(refused.value)


ERRORS = [
    BrazeValidationError("campaigns_trigger_send", ["recipients: too many"]),
    BrazeBadRequestError("campaigns_trigger_send", 400, "No Recipients", retry_after=None),
    BrazeUnknownOutcomeError("lost"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_an_error_survives_the_way_between_processes(error, again):
    twin = again(error)
    assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_an_error_quotes_what_braze_said_unchanged():
    said = "first... then ../second"
    assert said in str(BrazeBadRequestError("campaigns_list", 400, said))


@pytest.mark.parametrize("address", ["kim@example.com", "Kim.Zebra+x@mail.example.co.uk", "müller@exämple.de"])
def test_an_address_in_a_text_from_outside_becomes_a_hash(address):
    hidden = mask(f"cannot reach <{address}>, retry")
    assert address not in hidden
    assert identity_hash(address.casefold()) in hidden


def test_a_text_from_outside_is_short_and_on_one_line():
    hidden = mask("a\nb " * 1000)
    assert "\n" not in hidden
    assert len(hidden) < 520


def test_secrets_that_are_empty_mask_nothing():
    assert mask("all is well", "", "secret") == "all is well"
