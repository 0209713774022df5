"""How long an intent stays open, and what that promises to whoever comes next: another worker, or the next try."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_support import CAMPAIGN, CONN_ID

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.delivery import engine, pacing, sender
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError
from airflow_provider_braze.delivery.ledger import Claim, OpenLedger, Past, TaskTry
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.sql_ledger import SqlLedger

SEND, EXPORT = "/campaigns/trigger/send", "/users/export/ids"


def names(count):
    return [f"zebra-{number:05}" for number in range(count)]


def counts(emulator):
    return {name.rpartition(":")[2]: count for name, count in emulator.deliveries().items()}


def paths(emulator, path):
    return [one for one in emulator.requests() if one["path"] == path]


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def run(emulator, people, ledger, *, lanes=4, give_up_after=300.0, **policy):
    """Deliver once; gives the report, or the error. What would not end is stopped, so that the test ends."""
    with Plan("campaigns_trigger_send", CAMPAIGN, ListAudience(people)) as plan:
        client = AsyncBrazeClient(emulator.url, emulator.api_key, lanes=lanes, timeout=30.0)
        opened = ledger.open(plan) if hasattr(ledger, "open") else ledger
        with opened as known:
            delivery = Delivery(plan, client, ledger=known, policy=Policy(**{"longest_wait": 300.0, **policy}))
            alarm = threading.Timer(give_up_after, delivery.stop, ["it does not end"])
            alarm.start()
            try:
                return deliver(delivery)
            except BrazeDeliveryError as error:
                return error
            finally:
                alarm.cancel()


@pytest.fixture
def short_lived(monkeypatch):
    """Say how long an intent lives: in earnest it is most of a minute at least."""
    return lambda seconds: monkeypatch.setattr(engine, "intent_seconds", lambda timeout: seconds)


class Watched(OpenLedger):
    """Lets everybody be sent to once, and measures how long each intent stays open."""

    def __init__(self):
        self.past = Past()
        self.ages, self._opened, self._states = [], {}, {}

    def write(self, intents, settlements):
        for one in settlements:
            self.ages.append(time.monotonic() - self._opened[one.ticket])
            # What was in doubt stays so where nothing was sent.
            was = "unknown" if self._states[one.ticket[0]] == "taken" else "free"
            kept = {Outcome.ACCEPTED: "accepted", Outcome.UNKNOWN: "unknown"}
            self._states[one.ticket[0]] = kept.get(one.outcome, was)
        return [self._claim(one) for one in intents]

    def _claim(self, intent):
        place, people = intent.request.place, range(intent.request.people)
        state = self._states.get(place, "free")
        if state == "accepted":
            return Claim(accepted=len(people))
        if state == "unknown" and not intent.take_doubt:
            return Claim(doubt=people)
        self._states[place] = "taken" if state == "unknown" else "intent"
        ticket = (place, len(self._opened))
        self._opened[ticket] = time.monotonic()
        return Claim(ticket, people, took_doubt=state == "unknown")


def test_no_intent_grows_old_while_the_quota_is_waited_for(braze_emulator, short_lived):
    """Those that lanes hold, and those claimed ahead: another worker takes an old one for that of a dead worker."""
    short_lived(1.0)
    ledger, people = Watched(), names(1000)
    braze_emulator.inject("rate_limited", retry_after=8.0, header_style="retry_after", skip=1, times=1)
    report = run(braze_emulator, people, ledger)
    assert report["accepted"] == len(people)
    assert counts(braze_emulator) == dict.fromkeys(people, 1)
    assert max(ledger.ages) < 7.5


def test_no_intent_grows_old_while_braze_settles(braze_emulator, short_lived):
    short_lived(1.0)
    ledger, people = Watched(), names(10)
    braze_emulator.inject("drop_before_acceptance", path=SEND)
    report = run(braze_emulator, people, ledger, on_unknown="reconcile", settling_time=7.0)
    assert report["accepted"] == len(people)
    assert counts(braze_emulator) == dict.fromkeys(people, 1)
    assert max(ledger.ages) < 6.5


class OneTry:
    """A try of a task, with a SqlLedger."""

    def __init__(self, run_id, doubt_after, delivery_key=None):
        self._task = TaskTry("d", run_id, "t", doubt_after=doubt_after, delivery_key=delivery_key)

    def open(self, plan):
        return SqlLedger(CONN_ID).open(self._task, plan)


@pytest.mark.parametrize("on_unknown", ["resend", "reconcile"])
def test_two_runs_of_one_key_while_one_waits_for_the_quota(braze_emulator, sqlite_ledger, short_lived, on_unknown):
    # A request that is under way while the machine pauses must not seem to be that of a dead worker.
    short_lived(2.5)
    people, wishes = names(1500), {"on_unknown": on_unknown, "settling_time": 0.2}
    braze_emulator.inject("rate_limited", retry_after=8.0, header_style="retry_after", skip=1, times=1)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(run, braze_emulator, people, OneTry("a", 6.0, "k"), lanes=8, **wishes)
        wait_until(lambda: any(one["status"] == 429 for one in paths(braze_emulator, SEND)))
        time.sleep(6.5)
        second = run(braze_emulator, people, OneTry("b", 6.0, "k"), lanes=8, **wishes)
        assert (first.result()["accepted"], second["accepted"]) == (len(people), len(people))
    assert counts(braze_emulator) == dict.fromkeys(people, 1)


def test_braze_is_asked_once_what_an_earlier_try_has_begun_can_no_longer_leave(
    braze_emulator, sqlite_ledger, short_lived
):
    """The first worker lives: it waits for the quota when the second one begins, and sends what it has claimed."""
    short_lived(4.0)
    people, wishes = names(500), {"on_unknown": "reconcile", "settling_time": 0.2}
    braze_emulator.inject("rate_limited", retry_after=2.5, header_style="retry_after", skip=1, times=4)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(run, braze_emulator, people, OneTry("a", 8.0), **wishes)
        wait_until(lambda: any(one["status"] == 429 for one in paths(braze_emulator, SEND)))
        report = run(braze_emulator, people, OneTry("a", 8.0), **wishes)
        first.result()
    assert counts(braze_emulator) == dict.fromkeys(people, 1)
    assert report["accepted"] == len(people)


def test_a_wait_for_what_an_earlier_try_has_begun_frees_the_worker(braze_emulator, sqlite_ledger):
    people = names(3)
    with Plan("campaigns_trigger_send", CAMPAIGN, ListAudience(people)) as plan:
        (request,) = plan
        with OneTry("a", 200.0).open(plan) as dead:
            dead.write([engine.Intent(request)], [])
    paused = run(
        braze_emulator, people, OneTry("a", 200.0), on_unknown="reconcile", settling_time=30.0, longest_wait=60.0
    )
    assert 100.0 < paused.resume_after <= 230.0
    assert not braze_emulator.requests()


def test_429s_that_do_not_say_until_when_end_also_where_intents_are_renewed(braze_emulator, short_lived, monkeypatch):
    short_lived(0.5)
    monkeypatch.setattr(sender, "LONGEST_QUOTA_WAIT", 3.0)
    monkeypatch.setattr(sender, "LONGEST_BACKOFF", 0.2)
    monkeypatch.setattr(pacing, "_doubled", lambda times: 0.1)
    braze_emulator.inject("rate_limited", retry_after=0.0, header_style="absent", times=None)
    ended = run(braze_emulator, names(60), Watched(), give_up_after=60.0)
    assert isinstance(ended, BrazeNobodyMessagedError)
    assert "429" in str(ended)
