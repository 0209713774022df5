"""What goes wrong between a notifier and Braze: what is tried again, what is not, and what it says."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeConfigurationError,
    BrazeConnectError,
    BrazeGuardError,
    BrazeNotSentError,
    BrazePausedError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeUnauthorizedError,
    BrazeUnknownOutcomeError,
    identity_hash,
)

KIM, NOOR = "external_user_id:on-call-kim", "external_user_id:on-call-noor"


@pytest.fixture(params=["notify", "async_notify"])
def ways(request, notifier, failed):
    """Notify as Airflow does, by either way; call it with what differs from the usual notifier."""

    def call(**parameters):
        made = notifier(**parameters)
        if request.param == "notify":
            made(failed)
        else:
            made.context = failed

            async def wait():
                await made

            asyncio.run(wait())

    return call


def test_it_arrives_once(ways, braze_emulator):
    ways(recipients=["on-call-kim", "on-call-noor"])
    assert braze_emulator.deliveries() == {KIM: 1, NOOR: 1}


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("server_error", {"status": 500}),
        ("server_error", {"status": 502}),
        ("server_error", {"status": 503}),
        ("rate_limited", {"retry_after": 1.0, "header_style": "retry_after"}),
        ("rate_limited", {"header_style": "absent"}),
    ],
)
def test_what_was_not_sent_is_tried_again(ways, braze_emulator, fault, options):
    braze_emulator.inject(fault, times=2, **options)
    ways()
    assert len(braze_emulator.requests()) == 3
    assert braze_emulator.deliveries() == {KIM: 1}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop_after_acceptance"},
        {"kind": "drop_before_acceptance"},
        {"kind": "server_error", "status": 504},
        {"kind": "garbage_201"},
        {"kind": "slow", "seconds": 600.0},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_lost_answer_is_not_tried_again(ways, braze_emulator, connection, refused, fault):
    if fault["kind"] == "slow":
        connection(extra={"timeout": 1})
    braze_emulator.inject(**fault)
    refused(BrazeUnknownOutcomeError, ways, "not sent again", "notified twice")
    end = time.monotonic() + 60
    while not braze_emulator.requests():  # It may have been given up before the emulator has read it.
        assert time.monotonic() < end
        time.sleep(0.01)
    assert len(braze_emulator.requests()) == 1


def test_a_long_wait_for_the_quota_is_not_waited_for(ways, braze_emulator, refused):
    braze_emulator.inject("rate_limited", retry_after=600.0, times=None, header_style="retry_after")
    began = time.monotonic()
    error = refused(BrazeRateLimitError, ways, "429")
    assert time.monotonic() - began < 20
    assert error.retry_after == 600
    assert len(braze_emulator.requests()) == 1


@pytest.fixture
def impatient(monkeypatch):
    """Half a minute is long in a test: at each look at the clock ten seconds have passed."""
    clock = SimpleNamespace(monotonic=itertools.count(0.0, 10.0).__next__)
    monkeypatch.setattr("airflow_provider_braze.notifications.sending.time", clock)


def test_the_trying_ends(ways, braze_emulator, refused, impatient):
    braze_emulator.inject("server_error", times=6)
    refused(BrazeServerError, ways, "500")
    assert 2 <= len(braze_emulator.requests()) <= 4
    assert braze_emulator.deliveries() == {}


def test_nobody_answers(ways, connection, refused, impatient, free_port):
    connection(host=f"http://127.0.0.1:{free_port}")
    refused(BrazeConnectError, ways)


def test_braze_comes_back_while_it_tries(ways, braze_emulator):
    braze_emulator.stop()
    with socket.socket() as held:  # so that nobody else takes its port meanwhile
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", urlsplit(braze_emulator.url).port))
        threading.Timer(1.5, braze_emulator.start).start()
        ways()
    assert braze_emulator.deliveries() == {KIM: 1}


def test_a_wrong_key(ways, braze_emulator, connection, refused):
    connection(password="a-mistyped-key-of-no-use")
    error = refused(BrazeUnauthorizedError, ways, "password")
    assert "a-mistyped-key" not in str(error)
    assert len(braze_emulator.requests()) == 1


def test_a_key_that_is_echoed(ways, braze_emulator, refused):
    braze_emulator.inject("echo_key_401")
    refused(BrazeUnauthorizedError, ways)


def test_a_refusal_that_quotes_people(ways, braze_emulator, connection, refused, talkative):
    connection(host=talkative)
    refused(BrazeBadRequestError, ways, "400", f"cannot message <recipient {identity_hash('on-call-kim')}>")


def test_a_missing_connection(ways, braze_emulator, refused):
    refused(BrazeConfigurationError, lambda: ways(braze_conn_id="braze_of_nobody"), "braze_of_nobody")


def test_a_paused_campaign_is_an_error(ways, braze_emulator, refused):
    braze_emulator.inject("notice_in_201")
    refused(BrazePausedError, ways, "paused")


def test_braze_names_somebody_whom_it_does_not_notify(ways, braze_emulator, caplog):
    caplog.set_level("WARNING")
    braze_emulator.inject("errors_in_201", indexes=[1], style="objects", text="no such user on-call-noor")
    ways(recipients=["on-call-kim", "on-call-noor"])
    assert braze_emulator.deliveries() == {KIM: 1}
    [record] = [one for one in caplog.records if one.name.endswith("notifications.sending")]
    assert identity_hash("on-call-noor") in record.getMessage()
    assert "on-call-noor" not in record.getMessage()


def test_nobody_is_left_whom_braze_would_notify(ways, braze_emulator, refused):
    braze_emulator.inject("errors_in_201", indexes=[0], style="objects", text="no such user on-call-kim")
    refused(BrazeNotSentError, ways, identity_hash("on-call-kim"))


def test_test_recipients_hold_here_too(ways, braze_emulator, connection, refused):
    connection(extra={"test_recipients": ["tester"]})
    refused(BrazeGuardError, ways, identity_hash("on-call-kim"), "nothing was sent")
    assert braze_emulator.requests() == []
    ways(recipients=["tester"])
    assert braze_emulator.deliveries() == {"external_user_id:tester": 1}


def test_test_recipients_may_get_it_instead(ways, braze_emulator, connection):
    connection(extra={"test_recipients": ["tester"], "test_recipients_others": "rewrite"})
    ways(recipients=["on-call-kim", "on-call-noor"])
    assert braze_emulator.deliveries() == {"external_user_id:tester": 1}


def test_the_workspace_is_looked_at_first(ways, braze_emulator, connection, refused):
    connection(extra={"workspace_campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"})
    braze_emulator.inject("server_error", path="/campaigns/details", times=1)
    ways()
    assert braze_emulator.deliveries() == {KIM: 1}
    connection(extra={"workspace_campaign_id": "ffffffff-0000-4000-8000-000000000000"})
    refused(BrazeConfigurationError, ways, "is not of the workspace")
    assert braze_emulator.deliveries() == {KIM: 1}


@pytest.mark.usefixtures("braze_emulator")
def test_the_event_loop_goes_on_meanwhile(notifier, failed, connection, served):
    """A loop that is blocked for as long as Braze takes would not tick, and Braze would not answer."""
    asked, ticked = threading.Event(), threading.Event()
    went_on = []

    def answer(*_):
        asked.set()
        went_on.append(ticked.wait(20))
        return 201, {"message": "success", "dispatch_id": "d"}, {}

    async def tick():
        while not asked.is_set():
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0.01)
        ticked.set()

    async def both():
        ticking = asyncio.create_task(tick())
        await notifier().async_notify(failed)
        await ticking

    connection(host=served(answer))
    asyncio.run(both())
    assert went_on == [True]


def test_the_synchronous_way_works_where_a_loop_runs(notifier, failed, braze_emulator):
    async def callback():
        notifier()(failed)

    asyncio.run(callback())
    assert braze_emulator.deliveries() == {KIM: 1}
