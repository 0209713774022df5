"""The one decision that protects people, row by row of its table; the errors come out of real answers."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from airflow_provider_braze.api.answers import read_answer
from airflow_provider_braze.api.endpoints import ENDPOINTS
from airflow_provider_braze.api.errors import (
    BrazeConfigurationError,
    BrazeConnectError,
    BrazeError,
    BrazeGuardError,
    BrazeUnknownOutcomeError,
    BrazeValidationError,
)
from airflow_provider_braze.api.wire import Answer, HttpxWire, Request
from airflow_provider_braze.delivery.outcome import Outcome, outcome_of

SEND = ENDPOINTS["campaigns_trigger_send"]
UPDATE = ENDPOINTS["campaigns_trigger_schedule_update"]


def error_of(status, body, endpoint=SEND, headers=None):
    """What reading an answer raises; None for a success."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        read_answer(endpoint, Answer(status, headers or {}, content), "a-key")
    except BrazeError as error:
        return error
    return None


async def exchange_error(raised):
    """What the wire makes of a failure below HTTP."""

    async def fail(_):
        raise raised

    wire = HttpxWire([httpx.MockTransport(fail)], 5.0)
    try:
        await wire.exchange(Request("POST", "http://127.0.0.1:9/campaigns/trigger/send", {}, b"{}"))
    except BrazeError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {"message": "success"}),
        (200, {"message": "Success."}),
        (202, {"message": "queued"}),
        (201, {"dispatch_id": "d"}),
        (201, {"message": "success", "errors": ["somebody is unknown"]}),
    ],
)
def test_a_success_is_accepted(status, body):
    assert outcome_of(error_of(status, body)) is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "error",
    [BrazeValidationError("x", ["a: b"]), BrazeConfigurationError("no host"), BrazeGuardError("a broadcast")],
    ids=lambda error: type(error).__name__,
)
def test_what_is_refused_here_never_left(error):
    assert outcome_of(error) is Outcome.REFUSED


@pytest.mark.parametrize(
    "raised",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("late"),
        httpx.PoolTimeout("full"),
        httpx.ConnectError("certificate verify failed"),
        httpx.ProxyError("407"),
    ],
    ids=["refused", "connect timeout", "pool timeout", "tls", "proxy"],
)
def test_without_a_connection_nothing_was_sent(raised):
    error = asyncio.run(exchange_error(raised))
    assert isinstance(error, BrazeConnectError)
    assert outcome_of(error) is Outcome.NOT_SENT
    assert outcome_of(error, trust_server_errors=False) is Outcome.NOT_SENT


@pytest.mark.parametrize("body", [{"message": "Rate Limited"}, b"", b"<html>"], ids=["json", "empty", "page"])
def test_a_429_was_not_sent(body):
    error = error_of(429, body, headers={"retry-after": "7"})
    assert outcome_of(error) is Outcome.NOT_SENT
    assert outcome_of(error, trust_server_errors=False) is Outcome.NOT_SENT


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("body", [{"message": "no"}, b"<html>"], ids=["json", "page"])
def test_server_errors_were_not_sent_unless_they_are_not_trusted(status, body):
    error = error_of(status, body)
    assert outcome_of(error) is Outcome.NOT_SENT
    assert outcome_of(error, trust_server_errors=False) is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [501, 504, 505, 507, 520, 522, 524, 529, 599])
@pytest.mark.parametrize("trusted", [True, False])
def test_gateway_errors_are_unknown(status, trusted):
    assert outcome_of(error_of(status, {"message": "gave up"}), trust_server_errors=trusted) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "raised",
    [
        httpx.ReadTimeout("x"),
        httpx.WriteTimeout("x"),
        httpx.ReadError("reset"),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("garbage"),
        httpx.DecodingError("gzip"),
        httpx.CloseError("x"),
        TimeoutError(),
        ConnectionResetError(),
        BrokenPipeError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_breaks_on_the_way_is_unknown(raised):
    error = asyncio.run(exchange_error(raised))
    assert isinstance(error, BrazeUnknownOutcomeError)
    assert outcome_of(error) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, b""),
        (201, b"\x00\xff{not json"),
        (201, b"<html>"),
        (200, b"[]"),
        (200, b"null"),
        (200, b'"success"'),
        (204, b""),
        (201, {"message": "partly"}),
        (201, {"message": None}),
        (201, {}),
        (201, {"message": ["success"]}),
        (201, {"message": "success", "notice": "something else happened"}),
        (201, {"error": "no"}),
    ],
    ids=str,
)
def test_a_2xx_that_is_not_understood_is_unknown(status, body):
    assert outcome_of(error_of(status, body)) is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 406, 409, 410, 413, 415, 422, 431, 451])
@pytest.mark.parametrize("body", [{"message": "no"}, {"error": "no"}, b"<html>", b""], ids=["m", "e", "page", "empty"])
def test_other_4xx_failed(status, body):
    assert outcome_of(error_of(status, body)) is Outcome.FAILED
    assert outcome_of(error_of(status, body), trust_server_errors=False) is Outcome.FAILED


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_failed(status):
    assert outcome_of(error_of(status, b"", headers={"location": "http://127.0.0.1:1/"})) is Outcome.FAILED


@pytest.mark.parametrize("word", ["paused", "archived", "stopped", "not active", "a draft"])
def test_a_notice_that_nothing_goes_out_failed(word):
    error = error_of(201, {"message": "success", "notice": f"The campaign is {word}."})
    assert outcome_of(error) is Outcome.FAILED


def test_a_repeatable_call_that_was_taken_for_nothing_failed():
    assert outcome_of(error_of(201, {"message": "nothing changed"}, UPDATE)) is Outcome.FAILED


def test_every_error_has_exactly_one_outcome():
    """A new error class must be decided on, not fall through to "failed", which frees its recipients."""

    def kinds(kind):
        yield kind
        for child in kind.__subclasses__():
            if child.__module__.startswith("airflow_provider_braze.api"):
                yield from kinds(child)

    decided = {
        "BrazeValidationError": Outcome.REFUSED,
        "BrazeConfigurationError": Outcome.REFUSED,
        "BrazeWorkspaceError": Outcome.REFUSED,
        "BrazeGuardError": Outcome.REFUSED,
        "BrazeConnectError": Outcome.NOT_SENT,
        "BrazeRateLimitError": Outcome.NOT_SENT,
        "BrazeServerError": Outcome.NOT_SENT,
        "BrazeUnknownOutcomeError": Outcome.UNKNOWN,
    }
    found = {kind.__name__: outcome_of(kind.__new__(kind)) for kind in kinds(BrazeError)}
    failed = {
        *("BrazeError", "BrazeResponseError", "BrazeBadRequestError", "BrazeUnauthorizedError", "BrazeForbiddenError"),
        *("BrazeNotFoundError", "BrazeNotSentError", "BrazePausedError"),
    }
    assert found == decided | dict.fromkeys(failed, Outcome.FAILED)
