"""Single calls against the emulator, and what each refusal becomes."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_braze.api import errors
from airflow_provider_braze.hooks.braze import BrazeHook

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
BODY = {"campaign_id": WEEKLY, "recipients": [{"external_user_id": "u-1"}]}


def by_call(endpoint, payload=None):
    return BrazeHook().call(endpoint, payload)


def by_acall(endpoint, payload=None):
    return asyncio.run(BrazeHook().acall(endpoint, payload))


either = pytest.mark.parametrize("call", [by_call, by_acall])


@either
def test_a_send(braze_emulator, call):
    answer = call("campaigns_trigger_send", BODY)
    assert answer["message"] == "success"
    assert answer["dispatch_id"]
    assert braze_emulator.deliveries() == {"external_user_id:u-1": 1}


@either
@pytest.mark.usefixtures("braze_emulator")
def test_a_listing(call):
    answer = call("campaigns_list", {"page": 0, "include_archived": True, "sort_direction": "desc"})
    assert [row["name"] for row in answer["campaigns"]][:2] == ["Gold members' evening", "Order ready"]
    assert len(answer["campaigns"]) == 7
    assert len(call("campaigns_list")["campaigns"]) == 6


@either
@pytest.mark.parametrize("name", ["campaigns_triggr_send", "/campaigns/trigger/send", ""])
def test_an_unknown_endpoint(braze_emulator, call, name):
    with pytest.raises(errors.BrazeConfigurationError, match=r"known are .*campaigns_trigger_send") as caught:
        call(name)
    assert isinstance(caught.value, AirflowException)
    assert braze_emulator.requests() == []


@either
def test_a_payload_that_breaks_a_rule_stays_here(braze_emulator, call):
    with pytest.raises(errors.BrazeValidationError, match="nobody is addressed") as caught:
        call("campaigns_trigger_send", {"campaign_id": WEEKLY})
    assert isinstance(caught.value, AirflowException)
    assert caught.value.problems
    assert braze_emulator.requests() == []


ANSWERS = [
    ("echo_key_401", {}, errors.BrazeUnauthorizedError, 401),
    ("rate_limited", {"retry_after": 70.0}, errors.BrazeRateLimitError, 429),
    ("server_error", {"status": 500}, errors.BrazeServerError, 500),
    ("server_error", {"status": 502}, errors.BrazeServerError, 502),
    ("server_error", {"status": 503}, errors.BrazeServerError, 503),
    ("html_error_page", {"status": 502}, errors.BrazeServerError, 502),
    ("html_error_page", {"status": 403}, errors.BrazeForbiddenError, 403),
    ("html_error_page", {"status": 404}, errors.BrazeNotFoundError, 404),
    ("notice_in_201", {}, errors.BrazeNotSentError, 201),
]
IN_DOUBT = [
    ("server_error", {"status": 504}),
    ("drop_before_acceptance", {}),
    ("drop_after_acceptance", {}),
    ("garbage_201", {}),
    ("empty_201", {}),
]


@either
@pytest.mark.parametrize("case", ANSWERS, ids=str)
def test_every_refusal_is_brazes_error_and_airflows(braze_emulator, call, case):
    kind, options, error, status = case
    braze_emulator.inject(kind, **options)
    with pytest.raises(error) as caught:
        call("campaigns_trigger_send", BODY)
    raised = caught.value
    assert isinstance(raised, AirflowException)
    assert not isinstance(raised, AirflowFailException)
    assert (raised.endpoint, raised.status) == ("campaigns_trigger_send", status)
    assert raised.message and raised.message in str(raised)
    assert braze_emulator.deliveries() == {}
    if error is errors.BrazeRateLimitError:
        assert 10 < raised.retry_after <= 71


@either
@pytest.mark.parametrize(("kind", "options"), IN_DOUBT)
def test_after_a_doubtful_send_airflow_must_not_retry(braze_emulator, call, kind, options):
    braze_emulator.inject(kind, **options)
    with pytest.raises(errors.BrazeUnknownOutcomeError, match=r"or not|cannot be told") as caught:
        call("campaigns_trigger_send", BODY)
    assert isinstance(caught.value, AirflowFailException)
    assert len(braze_emulator.requests()) == 1


@either
@pytest.mark.parametrize(("kind", "options"), IN_DOUBT)
def test_a_lost_answer_to_a_question_may_be_asked_again(braze_emulator, call, kind, options):
    # Until removed: aiohttp repeats a GET by itself when the connection breaks.
    braze_emulator.inject(kind, times=None, **options)
    with pytest.raises(errors.BrazeUnknownOutcomeError) as caught:
        call("campaigns_list")
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)


@either
def test_queued_is_a_success(braze_emulator, call):
    braze_emulator.inject("queued_202")
    assert call("campaigns_trigger_send", BODY)["message"] == "queued"


@either
@pytest.mark.parametrize(
    "case",
    [
        ("no-such-key", errors.BrazeUnauthorizedError, "password"),
        ("local-emulator-read-only-key", errors.BrazeForbiddenError, "make a new key"),
        ("local-emulator-office-key", errors.BrazeForbiddenError, "allowed addresses"),
    ],
)
def test_keys_that_may_not(braze_emulator, connection, call, case):
    key, error, words = case
    connection(password=key)
    with pytest.raises(error, match=words) as caught:
        call("campaigns_trigger_send", BODY)
    assert isinstance(caught.value, AirflowException)
    assert key not in str(caught.value)
    assert braze_emulator.deliveries() == {}


@either
@pytest.mark.parametrize(
    ("campaign", "error"), [("no-such-id", errors.BrazeBadRequestError), (PAUSED, errors.BrazeNotSentError)]
)
def test_campaigns_that_do_not_send(braze_emulator, call, campaign, error):
    with pytest.raises(error) as caught:
        call("campaigns_trigger_send", {**BODY, "campaign_id": campaign})
    assert isinstance(caught.value, AirflowException)
    assert braze_emulator.deliveries() == {}


@either
def test_a_closed_port(connection, free_port, call):
    connection(host=f"http://127.0.0.1:{free_port}", password="k")
    with pytest.raises(errors.BrazeConnectError, match="nothing was sent") as caught:
        call("campaigns_trigger_send", BODY)
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)


@either
def test_the_timeout_of_the_connection_counts(braze_emulator, connection, call):
    connection(extra={"timeout": 1})
    braze_emulator.inject("slow", seconds=600)
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises((errors.BrazeUnknownOutcomeError, errors.BrazeConnectError)) as caught:
            call("campaigns_trigger_send", BODY)
        # A machine that pauses may not even connect within that second: nothing was sent then.
        if not isinstance(caught.value, errors.BrazeConnectError):
            break
    assert isinstance(caught.value, errors.BrazeUnknownOutcomeError)
    assert 0.9 < time.monotonic() - began < 60


def test_injected_transports_are_used(connection):
    seen = []

    def answer(request):
        seen.append((request.method, request.url.path, request.headers["authorization"]))
        return httpx.Response(201, json={"message": "success", "dispatch_id": "d"})

    connection(host="rest.iad-01.braze.com", password="the-key")
    transport = httpx.MockTransport(answer)
    hook = BrazeHook(transport=transport, async_transport=transport)
    assert hook.call("campaigns_trigger_send", BODY) == asyncio.run(hook.acall("campaigns_trigger_send", BODY))
    assert seen == [("POST", "/campaigns/trigger/send", "Bearer the-key")] * 2
    connected, text = BrazeHook(transport=httpx.MockTransport(lambda _: httpx.Response(404))).test_connection()
    assert not connected and "Wrong host" in text
