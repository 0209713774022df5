"""A ledger that goes away midway: what it does not know is named, and a database that starts anew is waited for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from ledger_support import CAMPAIGN, CONN_ID
from servers import Postgres

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.delivery import sql_store
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import (
    BrazeDeliveryError,
    BrazeLedgerError,
    BrazeNobodyMessagedError,
    BrazeResumableError,
    DeliveryPausedError,
)
from airflow_provider_braze.delivery.ledger import Claim, OpenLedger, Past, TaskTry
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.sql_ledger import SqlLedger

TRY = TaskTry("d", "r", "t", doubt_after=0.0)
PEOPLE = [f"p-{number}" for number in range(1_500)]


def send(emulator, people, ledger, *, lanes=4, progress=None, **policy):
    """Deliver once; gives the report and the error."""
    with Plan("campaigns_trigger_send", CAMPAIGN, ListAudience(people)) as plan:
        client = AsyncBrazeClient(emulator.url, emulator.api_key, lanes=lanes)
        wishes = Policy(**{"settling_time": 0.0, **policy})
        opened = ledger if isinstance(ledger, OpenLedger) else SqlLedger(CONN_ID).open(ledger, plan)
        with opened as known:
            try:
                return deliver(Delivery(plan, client, ledger=known, policy=wishes, progress=progress)), None
            except BrazeDeliveryError as error:
                return error.report, error


class Forgetful(OpenLedger):
    """Lets everybody be sent to, and fails from the first outcome on."""

    def __init__(self):
        self.past = Past()
        self._full = False

    def write(self, intents, settlements):
        self._full |= bool(settlements)
        if self._full:
            raise BrazeLedgerError("the disk is full")
        return [Claim(intent.request.place, range(intent.request.people)) for intent in intents]


def test_a_lost_last_outcome_is_no_failure_and_in_the_report(braze_emulator):
    report, error = send(braze_emulator, PEOPLE[:3], Forgetful())
    assert (error, report["accepted"]) == (None, 3)
    [notice] = report["notices"]
    assert "What became of 1 request (1 accepted) could not be written to the ledger" in notice
    assert "with on_unknown='fail' a later try stops at them, and sends nothing" in notice
    assert "'skip' where all of them were accepted" in notice


@pytest.mark.parametrize(
    ("on_unknown", "kind", "words"),
    [
        ("fail", BrazeDeliveryError, "stops at them"),
        ("skip", BrazeResumableError, "leaves them out"),
        ("resend", BrazeResumableError, "sends to them"),
        ("reconcile", BrazeResumableError, "asks Braze about them"),
    ],
)
def test_lost_outcomes_are_named_and_no_ledger_is_said_to_know_them(braze_emulator, on_unknown, kind, words):
    report, error = send(braze_emulator, PEOPLE[:150], Forgetful(), lanes=1, on_unknown=on_unknown)
    assert type(error) is kind, "a try that can only stop at them is not made"
    assert report["accepted"] == len(braze_emulator.deliveries()) > 0
    assert "the disk is full" in str(error)
    assert "could not be written to the ledger, which has them in doubt now" in str(error)
    assert words in str(error)
    assert "The ledger knows who got it" not in str(error)


@pytest.mark.parametrize("on_unknown", ["fail", "skip"])
def test_lost_outcomes_where_nobody_was_messaged(braze_emulator, on_unknown):
    braze_emulator.inject("echo_key_401")
    _, error = send(braze_emulator, PEOPLE[:3], Forgetful(), on_unknown=on_unknown)
    assert type(error) is (BrazeDeliveryError if on_unknown == "fail" else BrazeNobodyMessagedError)
    assert "Nobody was messaged" in str(error)
    assert "What became of 1 request (1 failed) could not be written" in str(error)


def test_a_pause_that_would_end_at_a_lost_outcome_is_none(braze_emulator):
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after")
    wishes = {"longest_wait": 1.0}
    _, error = send(braze_emulator, PEOPLE[:3], Forgetful(), **wishes)
    assert type(error) is BrazeDeliveryError
    assert "What became of 1 request (1 not sent)" in str(error)
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after")
    _, error = send(braze_emulator, PEOPLE[:3], Forgetful(), on_unknown="resend", **wishes)
    assert type(error) is DeliveryPausedError


# A real server that goes away.


@pytest.fixture
def server(monkeypatch):
    with Postgres(fsync="off") as server:
        name = server.create_database("ledger")
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", server.connection_json(name))
        yield server


@contextmanager
def under_way(emulator):
    """A delivery in a thread of its own, from its fifth request on; gives how it ends."""
    begun = threading.Event()

    def progress(delivery):
        if delivery.report.requests >= 5:
            begun.set()

    emulator.inject("slow", seconds=0.1, times=None)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send, emulator, PEOPLE, TRY, progress=progress)
        assert begun.wait(60)
        yield sending
    emulator.clear_faults()


def test_a_database_that_starts_anew_costs_a_wait_and_no_outcome(server, braze_emulator):
    """It takes longer than five attempts do."""
    with under_way(braze_emulator) as sending:
        server.shut_down()
        time.sleep(4)
        server.start_again()
        report, error = sending.result()
    assert (error, report["accepted"], report["notices"]) == (None, len(PEOPLE), [])
    assert set(braze_emulator.deliveries().values()) == {1}
    states = server.execute("SELECT DISTINCT state FROM braze_ledger_requests", database="ledger")
    assert states == [("accepted",)]


def test_a_database_that_stays_away_leaves_doubts_that_are_counted(server, braze_emulator, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 1.0)
    with under_way(braze_emulator) as sending:
        server.shut_down()
        report, error = sending.result()
    assert type(error) is BrazeDeliveryError
    assert report["accepted"] == len(braze_emulator.deliveries()) < len(PEOPLE)
    assert "could not be written to the ledger, which has them in doubt now" in str(error)
    server.start_again()
    _, error = send(braze_emulator, PEOPLE, replace(TRY, token="the next try"))
    assert "recipients are in doubt" in str(error)
    report, error = send(braze_emulator, PEOPLE, replace(TRY, token="a clear"), on_unknown="reconcile")
    assert (error, report["accepted"]) == (None, len(PEOPLE))
    assert set(braze_emulator.deliveries().values()) == {1}
