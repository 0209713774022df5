"""What becomes of lost answers, dead workers and a used-up quota, against a local Braze and a store that survives."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import traceback
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.client import AsyncBrazeClient, BrazeClient
from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.delivery import sender
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import LEAST_DOUBTS, Delivery, deliver
from airflow_provider_braze.delivery.errors import (
    BrazeDeliveryError,
    BrazeLedgerError,
    BrazeNobodyMessagedError,
    BrazeResumableError,
    DeliveryPausedError,
)
from airflow_provider_braze.delivery.ledger import Claim, Intent, OpenLedger, Past, TaskTry
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.task_state import TaskStateLedger

SEND, CANVAS, MESSAGES = "campaigns_trigger_send", "canvas_trigger_send", "messages_send"
WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
VARIATION = "c0ffee00-0000-4000-8000-000000000001"
EMAIL = {"app_id": "a1b2c3d4-0000-4000-8000-00000000000a", "from": "Shop <a@mail.example.com>", "subject": "Hi"}
PAYLOADS = {
    SEND: {"campaign_id": WEEKLY},
    CANVAS: {"canvas_id": WEEKLY},
    MESSAGES: {
        "campaign_id": WEEKLY,
        "messages": {"email": {**EMAIL, "body": "<p>Hi</p>", "message_variation_id": VARIATION}},
    },
}
PATHS = {SEND: "/campaigns/trigger/send", CANVAS: "/canvas/trigger/send", MESSAGES: "/messages/send"}
EXPORT = "/users/export/ids"
KEY = "local-emulator-key"
COUNTS = ("duplicates", "invalid", "skipped", "accepted", "failed", "unknown")
LOST = {
    "dropped after": ("drop_after_acceptance", {}, True),
    "dropped before": ("drop_before_acceptance", {}, False),
    "garbage": ("garbage_201", {}, True),
    "504": ("server_error", {"status": 504}, False),
}


@pytest.fixture(autouse=True)
def _never_expire(monkeypatch):
    """Airflow 3.3's word for a store's entry that stays; older ones have no store, and no word."""
    import airflow.sdk

    if not hasattr(airflow.sdk, "NEVER_EXPIRE"):
        monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", timedelta.max, raising=False)


class Store:
    """Airflow's task_state_store, as the API keeps it: JSON by key. It can be made to fail."""

    def __init__(self):
        self.kept = {}
        self.sets_left = None

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value, *, retention=None):
        if self.sets_left is not None:
            if not self.sets_left:
                raise ConnectionError("the API server is away")
            self.sets_left -= 1
        self.kept[key] = json.dumps(value)

    def states(self):
        """One letter per request."""
        keys = sorted((key for key in self.kept if key.count("/") > 1), key=lambda key: int(key.rpartition("/")[2]))
        return "".join(self.get(key)["s"] for key in keys)


def names(count, word="zebra"):
    return [f"{word}-{number:05}" for number in range(count)]


def task_try(store, **given):
    """A try after whose death nothing can be under way, unless a test says otherwise."""
    return TaskTry(**{"dag_id": "d", "run_id": "r", "task_id": "t", "store": store, "doubt_after": 0.0, **given})


def send(
    url,
    entries,
    on_unknown="fail",
    *,
    store=None,
    ledger=None,
    endpoint=SEND,
    payload=None,
    lanes=1,
    timeout=20.0,
    key=KEY,
    max_tries=0,
    transport=None,
    progress=None,
    **policy,
):
    """Deliver once, as one try of a task; gives report and error, of which it has made sure that they add up."""
    audience = None if entries is None else ListAudience(entries)
    with Plan(endpoint, payload or PAYLOADS[endpoint], audience) as plan:
        client = AsyncBrazeClient(url, key, lanes=lanes, timeout=timeout, transport=transport)
        opened = TaskStateLedger().open(task_try(store, max_tries=max_tries), plan) if store else nullcontext(ledger)
        wishes = Policy(**{"on_unknown": on_unknown, "settling_time": 0.0, **policy})
        with opened as known:
            try:
                report, error = (
                    deliver(Delivery(plan, client, ledger=known, policy=wishes, progress=progress)),
                    None,
                )
            except BrazeDeliveryError as raised:
                report, error = raised.report, raised
    assert report["recipients"] == sum(report[name] for name in COUNTS), report
    assert report["accepted_before"] <= report["accepted"]
    assert "zebra" not in json.dumps(report) + str(error)
    return report, error


def picked(report, *fields):
    return {field: report[field] for field in fields}


def got(emulator):
    """Messages per person, by name."""
    return {name.rpartition(":")[2]: count for name, count in emulator.deliveries().items()}


def once(emulator, people):
    assert got(emulator) == dict.fromkeys(people, 1)


def posted(emulator, path=PATHS[SEND]):
    return [one for one in emulator.requests() if one["path"] == path]


PEOPLE = names(250)
PLACES = {"first": 0, "middle": 2, "last": 4}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", LOST)
def test_fail_stops_and_every_next_try_names_the_doubt_until_the_author_decides(braze_emulator, fault, place):
    kind, options, reached = LOST[fault]
    before, store = PLACES[place], Store()
    braze_emulator.inject(kind, skip=before, **options)
    report, error = send(braze_emulator.url, PEOPLE, store=store)
    told = {"accepted": 50 * before, "unknown": 50, "skipped": 200 - 50 * before, "failed": 0}
    assert picked(report, *told) == told
    assert not isinstance(error, BrazeResumableError), "a person must decide"
    assert "50 recipients are in doubt (1 request)" in str(error)
    assert "set on_unknown to 'skip'" in str(error)
    assert store.states() == ("a" * before + "u").ljust(5, ".")
    made = len(braze_emulator.requests())
    for _ in range(2):
        report, error = send(braze_emulator.url, PEOPLE, store=store)
        assert picked(report, *told, "accepted_before", "requests") == {
            **told,
            "accepted_before": 50 * before,
            "requests": 0,
        }
        assert "50 recipients are in doubt (1 request)" in str(error)
        assert not isinstance(error, BrazeResumableError)
    assert len(braze_emulator.requests()) == made, "a try that stops for an earlier doubt asks nothing of Braze"
    report, error = send(braze_emulator.url, PEOPLE, "skip", store=store)
    assert error is None
    assert picked(report, "accepted", "unknown", "requests") == {
        "accepted": 200,
        "unknown": 50,
        "requests": 4 - before,
    }
    doubted = PEOPLE[50 * before :][:50]
    once(braze_emulator, PEOPLE if reached else [name for name in PEOPLE if name not in doubted])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", LOST)
def test_skip_leaves_out_those_in_doubt_and_nobody_else(braze_emulator, fault, place):
    kind, options, reached = LOST[fault]
    before, store = PLACES[place], Store()
    braze_emulator.inject(kind, skip=before, **options)
    report, error = send(braze_emulator.url, PEOPLE, "skip", store=store, lanes=4)
    assert error is None
    assert picked(report, "accepted", "unknown", "skipped", "requests") == {
        "accepted": 200,
        "unknown": 50,
        "skipped": 0,
        "requests": 5,
    }
    assert max(got(braze_emulator).values()) == 1
    assert len(got(braze_emulator)) == (250 if reached else 200)
    again, error = send(braze_emulator.url, PEOPLE, "skip", store=store)
    assert error is None
    assert picked(again, "accepted", "unknown", "requests") == {"accepted": 200, "unknown": 50, "requests": 0}
    assert max(got(braze_emulator).values()) == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", LOST)
def test_resend_forgets_nobody(braze_emulator, fault, place):
    kind, options, reached = LOST[fault]
    braze_emulator.inject(kind, skip=PLACES[place], **options)
    report, error = send(braze_emulator.url, PEOPLE, "resend", store=Store())
    assert error is None
    assert picked(report, "accepted", "unknown", "requests") == {"accepted": 250, "unknown": 0, "requests": 5}
    counts = got(braze_emulator)
    assert set(counts) == set(PEOPLE)
    twice = {name for name, count in counts.items() if count == 2}
    assert twice == (set(PEOPLE[50 * PLACES[place] :][:50]) if reached else set())
    assert max(counts.values()) <= 2


@pytest.mark.parametrize("ledger", ["store", "none"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("fault", LOST)
def test_reconcile_reaches_everybody_once(braze_emulator, fault, place, ledger):
    kind, options, _ = LOST[fault]
    store = Store() if ledger == "store" else None
    braze_emulator.inject(kind, skip=PLACES[place], **options)
    report, error = send(braze_emulator.url, PEOPLE, "reconcile", store=store, lanes=3)
    assert error is None
    assert picked(report, "accepted", "unknown", "skipped") == {"accepted": 250, "unknown": 0, "skipped": 0}
    once(braze_emulator, PEOPLE)
    if store:
        assert store.states() == "aaaaa"


@pytest.mark.parametrize("on_unknown", ["skip", "reconcile"])
def test_several_lost_answers(braze_emulator, on_unknown):
    people = names(600)
    for place, fault in ((1, "dropped after"), (3, "dropped before"), (4, "garbage"), (8, "504")):
        kind, options, _ = LOST[fault]
        # Each waits for as many requests as come through those before it.
        braze_emulator.inject(kind, path=PATHS[SEND], skip=place, **options)
    report, error = send(braze_emulator.url, people, on_unknown, store=Store())
    assert error is None
    counts = got(braze_emulator)
    assert max(counts.values()) == 1
    if on_unknown == "skip":
        assert report["accepted"] + report["unknown"] == 600
        assert report["unknown"] == 200
        assert len(counts) == 500
    else:
        assert (report["accepted"], len(counts)) == (600, 600)


def crash(url, store, entries, sent=(), *, endpoint=SEND, places=1, take_doubt=False, **given):
    """A worker that died with intents written, and that had messaged some of those."""
    with (
        Plan(endpoint, PAYLOADS[endpoint], ListAudience(entries)) as plan,
        TaskStateLedger().open(task_try(store, **given), plan) as ledger,
    ):
        ledger.write([Intent(request, take_doubt) for request in list(plan)[:places]], [])
    for start in range(0, len(sent), 50):
        BrazeClient(url, KEY).call(endpoint, {**PAYLOADS[endpoint], "recipients": sent[start : start + 50]})


MIXED = [
    *("zebra-1", "zebra-2"),
    {"user_alias": {"alias_name": "zebra-a", "alias_label": "crm"}},
    {"user_alias": {"alias_name": "zebra-a", "alias_label": "shop"}},
    {"email": "zebra-1@example.com", "prioritization": ["identified"]},
    {"email": "zebra-2@example.com", "prioritization": ["most_recently_updated"]},
    {"braze_id": "zebra-braze-1"},
    {"external_user_id": 77},
]
KINDS = {
    "external ids": MIXED[:2],
    "aliases": MIXED[2:4],
    "e-mails": MIXED[4:6],
    "braze ids": MIXED[6:7],
    "numbers": MIXED[7:],
    "mixed": MIXED,
}


@pytest.mark.parametrize("reached", ["all", "none", "every other"])
@pytest.mark.parametrize("kind", KINDS)
def test_reconcile_knows_people_by_every_identifier(braze_emulator, kind, reached):
    braze_emulator.add_users([{"braze_id": "zebra-braze-1"}])
    store, people = Store(), KINDS[kind]
    sent = {"all": people, "none": [], "every other": people[::2]}[reached]
    as_objects = [one if isinstance(one, dict) else {"external_user_id": one} for one in sent]
    crash(braze_emulator.url, store, people, as_objects)
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert error is None
    assert report["accepted"] == len(people)
    counts = braze_emulator.deliveries()
    assert set(counts.values()) == {1}
    assert len(counts) == len(people)


def test_reconcile_sends_to_people_whom_braze_does_not_know(braze_emulator):
    braze_emulator.reset({"users": [{"external_id": "zebra-00001"}], "everyone_is_known": False})
    store, people = Store(), names(3)
    crash(braze_emulator.url, store, people)
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert (error, report["accepted"]) == (None, 3)
    assert got(braze_emulator) == {"zebra-00001": 1}


@pytest.mark.parametrize("endpoint", [SEND, CANVAS])
@pytest.mark.parametrize("reached", [0, 1, 20, 49, 50])
def test_a_partly_received_request_goes_to_the_others(braze_emulator, reached, endpoint):
    store, people = Store(), names(120)
    sent = [{"external_user_id": name} for name in people[:50][::-1][:reached]]
    crash(braze_emulator.url, store, people, sent, endpoint=endpoint)
    report, error = send(braze_emulator.url, people, "reconcile", store=store, endpoint=endpoint)
    assert (error, report["accepted"], report["failed"]) == (None, 120, 0)
    once(braze_emulator, people)
    assert store.states() == "aaa"


def test_reconcile_works_for_messages_that_count_for_a_campaign(braze_emulator):
    braze_emulator.inject("drop_after_acceptance", skip=1)
    braze_emulator.inject("drop_before_acceptance", path=PATHS[MESSAGES], skip=2)
    people = [*names(120), *({"user_alias": {"alias_name": f"zebra-{n}", "alias_label": "crm"}} for n in range(30))]
    report, error = send(braze_emulator.url, people, "reconcile", store=Store(), endpoint=MESSAGES)
    assert (error, report["accepted"]) == (None, 150)
    assert set(braze_emulator.deliveries().values()) == {1}
    assert len(braze_emulator.deliveries()) == 150


def test_a_message_from_before_the_intent_does_not_count(braze_emulator):
    """Those who got the campaign last week have not got this one."""
    store, people = Store(), names(4)
    crash(braze_emulator.url, store, people, [{"external_user_id": name} for name in people[:2]])
    key = "braze/delivery/0/0"
    value = store.get(key)
    value["t"] = {"0": time.time() + 90}  # as if they had been messaged 90 seconds before the intent
    store.set(key, value)
    report, error = send(braze_emulator.url, people, "reconcile", store=store, settling_time=-3600.0)
    assert (error, report["accepted"]) == (None, 4)
    assert got(braze_emulator) == {people[0]: 2, people[1]: 2, people[2]: 1, people[3]: 1}


def test_a_message_of_another_campaign_does_not_count(braze_emulator):
    store, people = Store(), names(3)
    crash(braze_emulator.url, store, people)
    BrazeClient(braze_emulator.url, KEY).call(
        SEND, {"campaign_id": "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e", "recipients": [{"external_user_id": people[0]}]}
    )
    _, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert error is None
    assert got(braze_emulator) == {people[0]: 2, people[1]: 1, people[2]: 1}


@pytest.mark.parametrize("fault", ["429", "500", "dropped", "garbage"])
def test_an_export_that_fails_once_is_asked_again(braze_emulator, fault):
    kinds = {
        "429": ("rate_limited", {"retry_after": 0.3, "header_style": "seconds"}),
        "500": ("server_error", {"status": 500}),
        "dropped": ("drop_before_acceptance", {}),
        "garbage": ("garbage_201", {}),
    }
    kind, options = kinds[fault]
    braze_emulator.inject("drop_after_acceptance")
    braze_emulator.inject(kind, path=EXPORT, **options)
    people = names(80)
    report, error = send(braze_emulator.url, people, "reconcile", store=Store())
    assert (error, report["accepted"]) == (None, 80)
    once(braze_emulator, people)
    assert len(posted(braze_emulator, EXPORT)) == 2


@pytest.mark.parametrize("fault", ["500", "garbage", "dropped", "page"])
def test_an_export_that_never_answers_leaves_the_doubt_named_and_can_be_taken_up_again(
    braze_emulator, monkeypatch, fault
):
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    kinds = {
        "500": ("server_error", {"status": 500}),
        "garbage": ("garbage_201", {}),
        "dropped": ("drop_before_acceptance", {}),
        "page": ("html_error_page", {"status": 200}),
    }
    kind, options = kinds[fault]
    store, people = Store(), names(130)
    braze_emulator.inject("drop_after_acceptance", skip=1)
    braze_emulator.inject(kind, path=EXPORT, times=None, **options)
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert picked(report, "accepted", "unknown", "skipped") == {"accepted": 80, "unknown": 50, "skipped": 0}
    assert isinstance(error, BrazeResumableError)
    assert "50 recipients are in doubt" in str(error)
    assert store.states() == "aua"
    braze_emulator.clear_faults()
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert (error, report["accepted"]) == (None, 130)
    once(braze_emulator, people)


def test_an_export_without_permission_says_so(braze_emulator):
    key = {"name": "Send only", "key": "send-only-key", "permissions": ["campaigns.trigger.send"]}
    braze_emulator.reset({"users": [], "api_keys": [key]})
    braze_emulator.inject("drop_after_acceptance")
    report, error = send(braze_emulator.url, names(70), "reconcile", store=Store(), key="send-only-key")
    assert picked(report, "accepted", "unknown") == {"accepted": 20, "unknown": 50}
    assert "could not be asked" in str(error)
    assert "403" in str(error)
    assert "send-only-key" not in str(error)


def braze_of(export, *, sends=(None,), log=None):
    """A Braze whose sends end as told, None for a lost answer, and whose export answers one body."""
    answers = iter(sends)

    async def handle(request):
        if log is not None:
            log.append((time.monotonic(), request.url.path, json.loads(request.content)))
        if request.url.path == EXPORT:
            return export(request) if callable(export) else httpx.Response(200, json=export)
        body = next(answers, {"message": "success"})
        if body is None:
            raise httpx.ReadError("reset")
        return httpx.Response(201, json=body)

    return httpx.MockTransport(handle)


def profile(name, **received):
    return {"external_id": name, **received}


ODD_EXPORTS = {
    "no users": {"message": "success"},
    "users is a number": {"message": "success", "users": 7},
    "users is a text": {"message": "success", "users": "none"},
    "users is an object": {"message": "success", "users": {"a": 1}},
    "a user is a number": {"message": "success", "users": [7, None, "x"]},
    "received is a text": {"message": "success", "users": [profile("zebra-00000", campaigns_received="x")]},
    "received is a number": {"message": "success", "users": [profile("zebra-00000", campaigns_received=5)]},
    "an entry is a number": {"message": "success", "users": [profile("zebra-00000", campaigns_received=[5])]},
    "no time": {
        "message": "success",
        "users": [profile("zebra-00000", campaigns_received=[{"api_campaign_id": WEEKLY}])],
    },
    "a time in words": {
        "message": "success",
        "users": [
            profile("zebra-00000", campaigns_received=[{"api_campaign_id": WEEKLY, "last_received": "yesterday"}])
        ],
    },
    "a time as a number": {
        "message": "success",
        "users": [
            profile("zebra-00000", campaigns_received=[{"api_campaign_id": WEEKLY, "last_received": 1795334400}])
        ],
    },
    "aliases are a text": {"message": "success", "users": [{"user_aliases": "x", "campaigns_received": []}]},
}


@pytest.mark.parametrize("case", ODD_EXPORTS)
def test_an_export_of_another_shape_is_no_crash(case):
    """Whatever Braze says: success, failure or named doubt, and nobody uncounted."""
    report, error = send(
        "rest.example.com", names(2), "reconcile", store=Store(), transport=braze_of(ODD_EXPORTS[case])
    )
    if error is None:
        assert report["accepted"] == 2
    else:
        assert (report["unknown"], isinstance(error, BrazeResumableError)) == (2, True)
        assert "in doubt" in str(error)


def entered(name, **ago):
    """A profile with what it tells of the Canvas, in seconds before now."""
    received = {what: datetime.fromtimestamp(time.time() - seconds, UTC).isoformat() for what, seconds in ago.items()}
    return profile(name, canvases_received=[{"api_canvas_id": WEEKLY, **received}])


def test_a_later_step_of_an_older_journey_is_no_entry():
    """Who entered the Canvas a week ago, and got its next step just now, did not enter it by this request."""
    log, week = [], 7 * 86_400.0
    users = [
        entered("zebra-00000", last_entered=week, last_received_message=-5),
        entered("zebra-00001", last_entered=0),
        entered("zebra-00002", last_received_message=0),
        entered("zebra-00003", last_entered=week, last_received_message=week),
        entered("zebra-00004", last_entered=0, last_received_message=week),
    ]
    braze = braze_of({"message": "success", "users": users}, log=log)
    report, error = send("rest.example.com", names(5), "reconcile", store=Store(), endpoint=CANVAS, transport=braze)
    assert (error, report["accepted"]) == (None, 5)
    _, again = [body["recipients"] for _, path, body in log if path == PATHS[CANVAS]]
    assert [one["external_user_id"] for one in again] == ["zebra-00000", "zebra-00003"]


def moments(log, path):
    return [moment for moment, where, _ in log if where == path]


NOBODY = {"message": "success", "users": []}


def test_braze_is_asked_only_after_the_settling_time():
    log = []
    report, error = send(
        "rest.example.com", names(2), "reconcile", transport=braze_of(NOBODY, log=log), settling_time=0.6
    )
    assert (error, report["accepted"]) == (None, 2)
    [lost, resent], [asked] = moments(log, PATHS[SEND]), moments(log, EXPORT)
    assert asked - lost >= 0.55, "the engine goes by the wall clock, which the system may slew against this one"
    assert asked < resent


def test_a_resend_that_is_lost_too_gets_a_settling_time_of_its_own():
    """Braze needs as long to note the second message as it needed for the first."""
    log = []
    report, error = send(
        "rest.example.com",
        names(2),
        "reconcile",
        store=Store(),
        transport=braze_of(NOBODY, sends=(None, None), log=log),
        settling_time=0.6,
    )
    assert (error, report["accepted"]) == (None, 2)
    sent, asked = moments(log, PATHS[SEND]), moments(log, EXPORT)
    assert len(sent) == 3
    assert asked[0] - sent[0] >= 0.55
    assert asked[1] - sent[1] >= 0.55, "asked before Braze can know of the second message: a third would go out"


def test_a_resend_of_a_dead_worker_gets_a_settling_time_of_its_own(braze_emulator):
    """The try before resent those in doubt and died: Braze may know of its message only after the settling time."""
    store, people, log = Store(), names(2), []
    crash("", store, people)
    time.sleep(0.7)
    crash("", store, people, take_doubt=True)
    resent = time.monotonic()
    send("rest.example.com", people, "reconcile", store=store, transport=braze_of(NOBODY, log=log), settling_time=0.6)
    assert moments(log, EXPORT)[0] - resent >= 0.55


def test_the_settling_time_begins_when_the_request_leaves_not_when_it_began_to_wait():
    log, refusals = [], iter([429])

    def limited(request):
        log.append((time.monotonic(), request.url.path, None))
        if request.url.path == EXPORT:
            return httpx.Response(200, json=NOBODY)
        if next(refusals, None):
            return httpx.Response(429, json={"message": "no"}, headers={"retry-after": "1"})
        if len(moments(log, PATHS[SEND])) == 2:
            raise httpx.ReadError("reset")
        return httpx.Response(201, json={"message": "success"})

    _, error = send(
        "rest.example.com", names(2), "reconcile", transport=httpx.MockTransport(limited), settling_time=0.6
    )
    assert error is None
    lost, asked = moments(log, PATHS[SEND])[1], moments(log, EXPORT)[0]
    assert asked - lost >= 0.55, "the wait for the quota was taken for Braze's settling time"


def test_the_settling_time_pauses_where_a_worker_should_not_wait(braze_emulator):
    store, people = Store(), names(120)
    braze_emulator.inject("drop_after_acceptance", skip=1)
    wishes = {"store": store, "settling_time": 300.0, "longest_wait": 0.5}
    report, error = send(braze_emulator.url, people, "reconcile", **wishes)
    assert isinstance(error, DeliveryPausedError)
    assert 240 < error.resume_after <= 300
    assert picked(report, "accepted", "unknown") == {"accepted": 70, "unknown": 50}
    assert store.states() == "aua"
    # As if that time had passed.
    value = store.get("braze/delivery/0/0")
    value["l"] = {place: latest - error.resume_after for place, latest in value["l"].items()}
    store.set("braze/delivery/0/0", value)
    report, error = send(braze_emulator.url, people, "reconcile", **wishes)
    assert (error, report["accepted"]) == (None, 120)
    once(braze_emulator, people)


def test_reconcile_where_every_resend_is_lost_ends_with_a_doubt(braze_emulator):
    store, people = Store(), names(60)
    braze_emulator.inject("drop_before_acceptance", path=PATHS[SEND], skip=1, times=None)
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert picked(report, "accepted", "unknown") == {"accepted": 50, "unknown": 10}
    assert isinstance(error, BrazeResumableError)
    braze_emulator.clear_faults()
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert (error, report["accepted"]) == (None, 60)
    once(braze_emulator, people)


def test_reconcile_whose_resend_is_refused_keeps_the_doubt(braze_emulator):
    """That the repeat was refused says nothing about the first request."""
    store, people = Store(), names(60)
    crash(braze_emulator.url, store, people, [{"external_user_id": name} for name in people[:20]])
    braze_emulator.inject("echo_key_401", path=PATHS[SEND], skip=1)
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert error is not None
    assert picked(report, "accepted", "failed", "unknown") == {"accepted": 30, "failed": 0, "unknown": 30}
    assert store.states() == "ua"
    report, error = send(braze_emulator.url, people, "reconcile", store=store)
    assert (error, report["accepted"]) == (None, 60)
    once(braze_emulator, people)


# Too many lost answers.


@pytest.mark.parametrize("on_unknown", ["skip", "reconcile"])
@pytest.mark.parametrize("lanes", [1, 6])
def test_too_many_lost_answers_in_a_row_stop(braze_emulator, on_unknown, lanes):
    store, people = Store(), names(2000)
    braze_emulator.inject("drop_before_acceptance", path=PATHS[SEND], times=None)
    report, error = send(braze_emulator.url, people, on_unknown, store=store, lanes=lanes)
    made, most = len(posted(braze_emulator)), max(LEAST_DOUBTS, lanes)
    assert most <= made <= most + 2 * lanes
    assert "answers in a row were lost" in str(error)
    assert isinstance(error, BrazeResumableError)
    assert picked(report, "unknown", "accepted", "skipped") == {
        "unknown": 50 * made,
        "accepted": 0,
        "skipped": 2000 - 50 * made,
    }
    assert got(braze_emulator) == {}
    braze_emulator.clear_faults()
    report, error = send(braze_emulator.url, people, on_unknown, store=store, lanes=lanes)
    assert error is None
    once(braze_emulator, people[50 * made :] if on_unknown == "skip" else people)


def test_lost_answers_that_are_not_in_a_row_do_not_stop(braze_emulator):
    people = names(1000)
    for place in range(0, 20, 2):
        braze_emulator.inject("drop_before_acceptance", path=PATHS[SEND], skip=place // 2 + 1)
    report, error = send(braze_emulator.url, people, "skip", store=Store())
    assert error is None
    assert report["unknown"] >= 50 * LEAST_DOUBTS


# Server errors that are not trusted, campaigns that may be paused, broadcasts.


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_errors_that_are_not_trusted_are_in_doubt(braze_emulator, status):
    braze_emulator.inject("server_error", status=status, skip=1)
    report, error = send(braze_emulator.url, names(150), store=Store(), retry_server_errors=False)
    assert picked(report, "accepted", "unknown", "skipped") == {"accepted": 50, "unknown": 50, "skipped": 50}
    assert "in doubt" in str(error)
    assert len(braze_emulator.requests()) == 2


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("state", ["paused", "archived"])
def test_a_paused_campaign_may_be_fine(braze_emulator, state, lanes):
    braze_emulator.add_campaign("c", name="c", state=state)
    store, payload = Store(), {"campaign_id": "c"}
    report, error = send(braze_emulator.url, names(500), store=store, payload=payload, lanes=lanes, allow_paused=True)
    assert error is None
    assert picked(report, "accepted", "skipped", "failed", "requests") == {
        "accepted": 0,
        "skipped": 500,
        "failed": 0,
        "requests": 1,
    }
    assert state in report["notices"][0]
    braze_emulator.add_campaign("c", name="c", state="active")
    report, error = send(braze_emulator.url, names(500), store=store, payload=payload, allow_paused=True)
    assert (error, report["accepted"]) == (None, 500)
    once(braze_emulator, names(500))


def test_a_campaign_paused_midway_may_be_fine_too(braze_emulator):
    """Several requests under way come back with the notice."""
    braze_emulator.inject("slow", seconds=0.3, times=1, skip=1)
    braze_emulator.inject("notice_in_201", skip=1, times=None)
    report, error = send(braze_emulator.url, names(900), store=Store(), lanes=4, allow_paused=True)
    assert error is None, str(error)
    assert report["notices"]
    assert report["accepted"] + report["skipped"] == 900


BROADCAST = {"campaign_id": WEEKLY, "broadcast": True}


def test_a_broadcast_is_remembered(braze_emulator):
    braze_emulator.add_users([{"external_id": "a"}, {"external_id": "b"}])
    store = Store()
    for requests in (1, 0, 0):
        report, error = send(braze_emulator.url, None, store=store, payload=BROADCAST)
        assert (error, report["requests"], report["recipients"], report["accepted"]) == (None, requests, 0, 0)
        assert len(report["dispatch_ids"]) == 1
    once(braze_emulator, ["a", "b"])


@pytest.mark.parametrize("fault", LOST)
def test_a_broadcast_in_doubt(braze_emulator, fault):
    kind, options, reached = LOST[fault]
    braze_emulator.add_users([{"external_id": "a"}])
    braze_emulator.inject(kind, **options)
    store = Store()
    for _ in range(2):
        _, error = send(braze_emulator.url, None, store=store, payload=BROADCAST)
        assert "The broadcast is in doubt" in str(error)
        assert not isinstance(error, BrazeNobodyMessagedError | BrazeResumableError)
    _, error = send(braze_emulator.url, None, "skip", store=store, payload=BROADCAST)
    assert error is None
    assert len(braze_emulator.requests()) == 1
    _, error = send(braze_emulator.url, None, "resend", store=store, payload=BROADCAST)
    assert error is None
    assert got(braze_emulator) == {"a": 2 if reached else 1}


def test_a_refused_broadcast_may_go_again(braze_emulator):
    braze_emulator.add_users([{"external_id": "a"}])
    store = Store()
    _, error = send(braze_emulator.url, None, store=store, payload=BROADCAST, key="another-key")
    assert isinstance(error, BrazeNobodyMessagedError)
    _, error = send(braze_emulator.url, None, store=store, payload=BROADCAST)
    assert error is None
    once(braze_emulator, ["a"])


# Ledgers that know recipients one by one.


class People(OpenLedger):
    """Knows recipients one by one; ``answers`` are claims by try for places of a request, as another worker sees it."""

    def __init__(self, *, past=None, **known):
        self.past = past or Past()
        self.known, self.settled, self.written = known, [], []
        self.reads = 0

    def write(self, intents, settlements):
        self.settled += settlements
        self.reads += bool(intents)
        self.written += intents
        return [self._claim(intent) for intent in intents]

    def _claim(self, intent):
        names = [str(one["external_user_id"]) for one in json.loads(intent.request.body).get("recipients", ())] or ["*"]
        kinds = {"free": [], "accepted": [], "held": [], "doubt": []}
        for place, name in enumerate(names):
            state = self.known.get(name.replace("-", "_"), "free")
            if isinstance(state, list):
                state = state.pop(0) if len(state) > 1 else state[0]
            if state == "doubt" and intent.take_doubt:
                state = "free"
            kinds[state].append(place)
        ticket = object() if kinds["free"] else None
        return Claim(
            ticket,
            kinds["free"],
            accepted=len(kinds["accepted"]),
            doubt=kinds["doubt"],
            held=kinds["held"],
            since=time.time(),
        )


def test_recipients_whom_another_worker_has_under_way_are_looked_at_again(braze_emulator):
    ledger = People(
        zebra_00001=["held", "held", "free"], zebra_00002=["held", "accepted"], zebra_00003=["held", "doubt"]
    )
    report, error = send(braze_emulator.url, names(6), "skip", ledger=ledger)
    assert error is None
    assert picked(report, "accepted", "accepted_before", "unknown", "requests") == {
        "accepted": 5,
        "accepted_before": 1,
        "unknown": 1,
        "requests": 2,
    }
    once(braze_emulator, ["zebra-00000", "zebra-00001", "zebra-00004", "zebra-00005"])


def test_held_recipients_that_end_in_doubt_fail_by_name(braze_emulator):
    ledger = People(zebra_00001=["held", "doubt"])
    report, error = send(braze_emulator.url, names(3), ledger=ledger)
    assert "1 recipients are in doubt" in str(error)
    assert picked(report, "accepted", "unknown") == {"accepted": 2, "unknown": 1}


def test_held_recipients_are_reconciled_when_they_end_in_doubt(braze_emulator):
    ledger = People(zebra_00001=["held", "doubt"])
    report, error = send(braze_emulator.url, names(3), "reconcile", ledger=ledger)
    assert (error, report["accepted"]) == (None, 3)
    once(braze_emulator, names(3))


def test_recipients_whom_another_worker_takes_over_while_braze_is_asked_are_looked_at_again(braze_emulator):
    ledger = People(zebra_00001=["doubt", "held", "held", "accepted"], zebra_00002=["doubt", "held", "free"])
    report, error = send(braze_emulator.url, names(3), "reconcile", ledger=ledger)
    assert error is None
    assert picked(report, "accepted", "accepted_before") == {"accepted": 3, "accepted_before": 1}
    once(braze_emulator, ["zebra-00000", "zebra-00002"])


def test_stopping_while_others_hold_recipients_counts_them_as_not_attempted(braze_emulator):
    ledger = People(zebra_00001="held")
    deliveries = []

    def stop(delivery):
        deliveries.append(delivery)
        delivery.stop("the task was stopped")

    report, error = send(braze_emulator.url, names(3), ledger=ledger, progress=stop)
    assert picked(report, "accepted", "skipped") == {"accepted": 2, "skipped": 1}
    assert isinstance(error, BrazeResumableError)


def test_what_a_shared_ledger_knows_of_other_audiences_is_not_in_this_report(braze_emulator):
    """With a delivery_key the ledger's past may be larger than this task's audience."""
    past = Past(began="2026-11-22T00:00:00+00:00", accepted=1000, accepted_requests=20, doubtful=60)
    past.doubtful_requests = 2
    report, error = send(braze_emulator.url, names(3), ledger=People(past=past))
    assert error is not None
    assert report["accepted"] + report["unknown"] <= 3


# The ledger fails.


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("sets", range(9))
def test_without_a_durable_intent_no_request_leaves(braze_emulator, sets, lanes):
    store, people = Store(), names(500)
    store.sets_left = sets
    seen = []

    def watch(delivery):
        seen.append((len(posted(braze_emulator)), sum(letter != "." for letter in store.states())))

    report, error = send(braze_emulator.url, people, store=store, lanes=lanes, progress=watch)
    requests, intents = len(posted(braze_emulator)), sum(letter != "." for letter in store.states())
    assert requests <= intents
    assert all(made <= durable for made, durable in seen)
    assert report["accepted"] == 50 * requests
    if requests == 10:
        return
    assert "task state cannot be written" in str(error)
    store.sets_left = None
    report, error = send(braze_emulator.url, people, "reconcile", store=store, lanes=lanes)
    assert (error, report["accepted"]) == (None, 500)
    once(braze_emulator, people)


def test_each_request_finds_its_intent_durable_when_it_arrives():
    store, people = Store(), names(700)
    letters = []

    async def handle(request):
        place = int(json.loads(request.content)["recipients"][0]["external_user_id"].rpartition("-")[2]) // 50
        letters.append(store.states()[place])
        return httpx.Response(201, json={"message": "success"})

    _, error = send("rest.example.com", people, store=store, lanes=5, transport=httpx.MockTransport(handle))
    assert error is None
    assert letters == ["?"] * 14
    assert store.states() == "a" * 14


def test_a_ledger_that_fails_at_once_in_a_later_try_does_not_say_that_nobody_was_messaged(braze_emulator):
    store, people = Store(), names(150)
    braze_emulator.inject("echo_key_401", skip=1)
    send(braze_emulator.url, people, store=store)
    store.sets_left = 0
    _, error = send(braze_emulator.url, people, store=store)
    once(braze_emulator, people[:50])
    assert not isinstance(error, BrazeNobodyMessagedError), str(error)


def test_the_outcome_of_the_last_request_cannot_be_written(braze_emulator):
    """Everybody got it: that is no failure; the ledger has a doubt, and says so in the log."""
    store = Store()
    store.sets_left = 2
    report, error = send(braze_emulator.url, names(3), store=store)
    assert (error, report["accepted"]) == (None, 3)
    assert store.states() == "?"


# The quota.


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_429_with_a_long_reset_pauses_and_nothing_is_lost(braze_emulator, lanes):
    store, people = Store(), names(500)
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=3)
    report, error = send(braze_emulator.url, people, store=store, lanes=lanes, longest_wait=1.0)
    assert isinstance(error, DeliveryPausedError)
    assert 540 < error.resume_after <= 660
    made = len(posted(braze_emulator)) - 1
    assert report["accepted"] == 50 * made
    assert report["skipped"] == 500 - 50 * made
    assert store.states().count("a") == made
    assert set(store.states()) <= {"a", "."}
    report, error = send(braze_emulator.url, people, store=store, lanes=lanes, longest_wait=1.0)
    assert (error, report["accepted"], report["accepted_before"]) == (None, 500, 50 * made)
    once(braze_emulator, people)


def test_requests_under_way_are_finished_before_the_pause(braze_emulator):
    store, people = Store(), names(300)
    braze_emulator.inject("slow", seconds=0.8, skip=1, times=1)
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=1)
    report, error = send(braze_emulator.url, people, store=store, lanes=2, longest_wait=1.0)
    assert isinstance(error, DeliveryPausedError)
    assert report["unknown"] == 0
    assert report["accepted"] == len(got(braze_emulator))
    assert set(store.states()) <= {"a", "."}


@pytest.mark.usefixtures("early_in_the_hour")
@pytest.mark.parametrize("limit", [2, 5])
def test_a_used_up_hour_pauses_until_the_next(braze_emulator, limit):
    braze_emulator.reset({"users": [], "rate_limits": {"default_hourly": limit}})
    store, people, tries = Store(), names(600), 0
    while tries < 20:
        tries += 1
        report, error = send(braze_emulator.url, people, store=store, lanes=3, longest_wait=0.5)
        if error is None:
            break
        assert isinstance(error, DeliveryPausedError), str(error)
        assert 0.5 < error.resume_after <= 3600 + 5
        assert report["unknown"] == report["failed"] == 0
        braze_emulator.clock.advance(3600)
    assert (error, report["accepted"]) == (None, 600)
    once(braze_emulator, people)
    # One request at a time goes first, and what is left of so small a pool is spread over the hour.
    assert tries <= 600 / 50 + 1
    assert sum(one["status"] == 429 for one in posted(braze_emulator)) <= tries


def test_without_a_ledger_nobody_can_go_on_later_so_it_waits(braze_emulator):
    braze_emulator.inject("rate_limited", retry_after=1.0, header_style="retry_after", skip=1)
    report, error = send(braze_emulator.url, names(150), longest_wait=0.1)
    assert (error, report["accepted"]) == (None, 150)


@pytest.mark.usefixtures("early_in_the_hour")
@pytest.mark.parametrize("on_unknown", ["skip", "resend", "reconcile"])
@pytest.mark.parametrize("told", ["by a 429", "by headers"])
def test_a_pause_after_a_doubt_that_was_decided_on_is_still_a_pause(braze_emulator, on_unknown, told):
    """Those in doubt are treated as the author wished; the rest waits for the quota like any other."""
    store, people, wishes = Store(), names(300), {"longest_wait": 1.0}
    if told == "by headers":
        braze_emulator.reset({"users": [], "rate_limits": {"default_hourly": 5}})
    else:
        braze_emulator.inject("rate_limited", path=PATHS[SEND], retry_after=600.0, header_style="retry_after", skip=3)
    braze_emulator.inject("drop_after_acceptance", path=PATHS[SEND], skip=1)
    _, error = send(braze_emulator.url, people, on_unknown, store=store, **wishes)
    assert isinstance(error, DeliveryPausedError), str(error)
    braze_emulator.clock.advance(3600)
    for _ in range(6):
        _, error = send(braze_emulator.url, people, on_unknown, store=store, **wishes)
        if error is None:
            break
        assert isinstance(error, DeliveryPausedError), str(error)
        braze_emulator.clock.advance(3600)
    assert error is None
    assert set(got(braze_emulator)) == set(people)


def test_fail_names_its_doubt_also_where_the_quota_is_used_up(braze_emulator):
    store, people = Store(), names(300)
    braze_emulator.inject("drop_after_acceptance", skip=1)
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=1)
    _, error = send(braze_emulator.url, people, store=store, lanes=3, longest_wait=1.0)
    assert not isinstance(error, DeliveryPausedError)
    assert "in doubt" in str(error)


def test_a_pause_after_a_refusal_by_name_is_a_pause_and_the_refusal_is_told_at_the_end(braze_emulator, caplog):
    store, people, wishes = Store(), names(300), {"longest_wait": 1.0}
    braze_emulator.inject("errors_in_201", indexes=[3], style="objects")
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=3)
    _, error = send(braze_emulator.url, people, store=store, **wishes)
    assert isinstance(error, DeliveryPausedError), str(error)
    assert "Braze accepted the request, but said" in caplog.text
    _, error = send(braze_emulator.url, people, store=store, **wishes)
    assert type(error) is BrazeDeliveryError, "nothing is left, so no try would change it"
    assert picked(error.report, "accepted", "failed", "skipped") == {"accepted": 299, "failed": 1, "skipped": 0}


def test_a_pause_does_not_hide_a_request_that_was_refused_meanwhile():
    numbers, both = itertools.count(), asyncio.Event()

    async def answer(_request):
        number = next(numbers)
        if number == 0:
            return httpx.Response(201, json={"message": "success"})
        if number == 1:
            await both.wait()
            return httpx.Response(429, json={"message": "no"}, headers={"retry-after": "600"})
        both.set()
        # Turns of the event loop, not seconds: the 429 is judged within some of them.
        for _ in range(200):
            await asyncio.sleep(0)
        return httpx.Response(401, json={"message": "Invalid API key"})

    transport = httpx.MockTransport(answer)
    _, error = send("rest.example.com", names(150), store=Store(), transport=transport, lanes=2, longest_wait=1.0)
    assert type(error) is BrazeResumableError
    assert "Braze's quota is used up" in str(error)
    assert "Invalid API key" in str(error.__cause__)


# What earlier tries left.


def test_a_resend_that_is_refused_is_still_in_doubt(braze_emulator):
    """The worker before died with its intent written; that a repeat is refused says nothing of that request."""
    store, people = Store(), names(60)
    crash(braze_emulator.url, store, people, [{"external_user_id": name} for name in people[:50]])
    report, error = send(braze_emulator.url, people, "resend", store=store, key="another-key")
    assert store.states()[0] in "?u"
    assert report["unknown"] == 50, report
    assert "in doubt" in str(error)


def test_refusals_by_name_are_remembered_as_such(braze_emulator):
    store, people = Store(), names(120)
    braze_emulator.inject("errors_in_201", indexes=[0, 7], style="objects")
    report, error = send(braze_emulator.url, people, store=store)
    assert picked(report, "accepted", "failed") == {"accepted": 118, "failed": 2}
    again, error = send(braze_emulator.url, people, store=store)
    assert picked(again, "accepted", "failed", "requests", "skipped") == {
        "accepted": 118,
        "failed": 2,
        "requests": 0,
        "skipped": 0,
    }
    assert "it sends to the others" not in str(error), "nothing is left that a clear could send to"


def test_a_resumed_delivery_begins_with_one_request_too(braze_emulator):
    """What is wrong for all (a key revoked meanwhile) must show on one."""
    store, people = Store(), names(1000)
    braze_emulator.inject("server_error", status=504, skip=10)
    send(braze_emulator.url, people, "fail", store=store)
    made = len(posted(braze_emulator))
    report, error = send(braze_emulator.url, people, "skip", store=store, key="another-key", lanes=8)
    assert error is not None
    assert len(posted(braze_emulator)) - made == 1
    assert report["failed"] == 50


def test_who_is_in_doubt_is_in_the_log_by_hash(braze_emulator, caplog):
    braze_emulator.inject("drop_after_acceptance")
    send(braze_emulator.url, names(3))
    assert identity_hash("zebra-00002") in caplog.text
    assert "zebra" not in caplog.text


def test_nobody_is_named_in_what_is_printed_below_an_error(caplog):
    def refuse(_request):
        return httpx.Response(400, json={"message": "The user zebra-00002 cannot be messaged"})

    _, error = send("rest.example.com", names(3), store=Store(), transport=httpx.MockTransport(refuse))
    text = "".join(traceback.format_exception(error)) + caplog.text
    assert text.count(f"<recipient {identity_hash('zebra-00002')}>") >= 2
    assert "zebra" not in text


@pytest.mark.parametrize(
    ("status", "said"), [(500, "We cannot reach zebra-00002"), (400, "zebra-00002 is already queued")]
)
def test_nobody_is_named_in_the_log_of_a_repeat(monkeypatch, caplog, status, said):
    monkeypatch.setattr(sender, "WORTH_A_LINE", 0.0)
    answers = iter([httpx.Response(status, json={"message": said}), httpx.Response(201, json={"message": "success"})])
    transport = httpx.MockTransport(lambda _request: next(answers))
    with caplog.at_level("INFO"):
        send("rest.example.com", names(3), transport=transport, repeat_is_refused=True, own_id=True)
    assert f"<recipient {identity_hash('zebra-00002')}>" in caplog.text
    assert "zebra" not in caplog.text


@pytest.mark.parametrize("depth", [*range(60, 1000, 60), 1500, 5000])
def test_a_success_whose_errors_are_nested_deeply_is_no_crash(depth):
    """Braze took the request: it must be counted, whatever stands beside its success."""
    body = b'{"message":"success","errors":' + b"[" * depth + b"]" * depth + b"}"
    transport = httpx.MockTransport(lambda _: httpx.Response(201, content=body))
    store = Store()
    report, _ = send("rest.example.com", names(2), store=store, transport=transport)
    assert report["accepted"] + report["failed"] + report["unknown"] == 2
    assert store.states() in ("a", "u")


def test_a_progress_log_that_breaks_leaves_no_ledger_half_written():
    """A bug in what only talks must not tear requests from under way: those answered are settled."""
    store = Store()

    def breaks(_):
        raise RuntimeError("the log is full")

    transport = httpx.MockTransport(lambda _: httpx.Response(201, json={"message": "success"}))
    with pytest.raises(BaseException) as caught:
        send("rest.example.com", names(2), store=store, transport=transport, progress=breaks)
    assert "log is full" in repr(caught.value)


TROUBLE = st.sampled_from(
    [
        ("drop_before_acceptance", {}),
        ("drop_after_acceptance", {}),
        ("garbage_201", {}),
        ("echo_key_401", {}),
        ("notice_in_201", {}),
        ("server_error", {"status": 504}),
        ("rate_limited", {"retry_after": 600.0, "header_style": "retry_after"}),
        ("rate_limited", {"retry_after": 0.0, "header_style": "seconds"}),
    ]
)


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    faults=st.lists(st.tuples(TROUBLE, st.integers(0, 5), st.integers(1, 2)), max_size=4),
    count=st.integers(1, 420),
    lanes=st.integers(1, 5),
    on_unknown=st.sampled_from(["fail", "skip", "reconcile"]),
    sets=st.one_of(st.none(), st.integers(0, 9)),
)
def test_over_any_number_of_tries_nobody_is_messaged_twice_and_none_forgotten(  # noqa: PLR0917 (hypothesis)
    braze_emulator, faults, count, lanes, on_unknown, sets
):
    """Tries until it is through, with whatever goes wrong, and a ledger that fails in the first."""
    braze_emulator.reset({"users": []})
    for (kind, options), skip, times in faults:
        braze_emulator.inject(kind, path=PATHS[SEND], skip=skip, times=times, **options)
    store, people = Store(), names(count)
    store.sets_left = sets
    policy = {"longest_wait": 1.0, "lanes": lanes}
    for _ in range(12):
        report, error = send(braze_emulator.url, people, on_unknown, store=store, **policy)
        delivered = got(braze_emulator)
        assert max(delivered.values(), default=1) == 1
        assert report["accepted"] <= len(delivered)
        store.sets_left = None
        if error is None:
            break
        if on_unknown == "fail" and report["unknown"]:
            # The author looked into Braze and decided.
            on_unknown = "skip"
    assert error is None
    assert report["skipped"] == report["failed"] == 0
    if on_unknown == "reconcile":
        assert set(delivered) == set(people)
    assert len(set(people) - set(delivered)) <= report["unknown"]


def test_the_store_and_its_helpers_do_what_the_tests_believe():
    """The fake is small, but it must not be kinder than Airflow's: values go through JSON, and fail when told."""
    store = Store()
    store.set("braze/delivery/0/0", {"s": "a?", "t": {1: 2.0}}, retention=timedelta.max)
    assert store.get("braze/delivery/0/0") == {"s": "a?", "t": {"1": 2.0}}
    assert store.states() == "a?"
    store.sets_left = 0
    with pytest.raises(ConnectionError):
        store.set("a", 1)
    ledger = TaskStateLedger()
    with Plan(SEND, PAYLOADS[SEND], ListAudience(["a"])) as plan, pytest.raises(BrazeLedgerError):
        ledger.open(task_try(store), plan).write([Intent(next(iter(plan)))], [])
