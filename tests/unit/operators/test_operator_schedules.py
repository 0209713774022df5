"""Schedules as resources: what a task scheduled before becomes what it is to schedule now."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import product
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
)
from servers import Postgres

from airflow_provider_braze.api.errors import BrazeConfigurationError, BrazeServerError, BrazeValidationError
from airflow_provider_braze.api.models import schedules as models_schedules
from airflow_provider_braze.delivery import overdue, schedules, sql_ledger, task_state
from airflow_provider_braze.delivery.errors import (
    BrazeAudienceError,
    BrazeDeliveryError,
    BrazeLedgerError,
    BrazeResumableError,
)
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
    BrazeScheduleCanvasOperator,
    BrazeScheduleMessagesOperator,
)

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
OTHER = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
CANVAS = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
APRIL, MAY, JUNE = "2099-04-07T09:00:00Z", "2099-05-07T09:00:00Z", "2099-06-07T09:00:00Z"
MANY = [f"p{number}" for number in range(150)]
VALUES = {"trigger_properties": {"roast": "dark"}}
PUSH = {"apple_push": {"alert": "Beans!"}}
NEWS = {"apple_push": {"alert": "More beans!"}}
DELETE = "/campaigns/trigger/schedule/delete"
UPDATE = "/campaigns/trigger/schedule/update"
AT_ONCE = {"max_quota_wait": timedelta(0)}


@pytest.fixture(autouse=True)
def _one_lane(connection, braze_emulator):
    connection(extra={"lanes": 1})


@pytest.fixture(scope="session")
def _server():
    with Postgres(fsync="off") as server:
        yield server


class Store(dict):
    """Airflow's task state, as JSON by key."""

    def get(self, key, default=None):
        return json.loads(self[key]) if key in self else default

    def set(self, key, value, *, retention=None):
        assert retention == timedelta.max
        self[key] = json.dumps(value)

    def __bool__(self):
        return True


class Task:
    """A task instance with what remembers it; a clear raises ``max_tries``."""

    def __init__(self, ledger=None, store=None):
        self.ledger, self.store = ledger, store
        self.tries, self.max_tries, self.xcoms = 0, 1, {}

    def clear(self):
        self.max_tries += 1

    def push(self, key, value):
        self.xcoms[key] = value

    def try_(
        self,
        operator=BrazeScheduleCampaignOperator,
        *,
        event=None,
        run_id="r",
        run_type="scheduled",
        method="execute",
        **parameters,
    ):
        self.tries += event is None
        given = {"schedule": APRIL, **parameters}
        if not {"recipients", "broadcast", "external_user_ids"} & set(given):
            given["recipients"] = MANY
        if operator is BrazeScheduleCampaignOperator:
            given.setdefault("campaign_id", WEEKLY)
        task = SimpleNamespace(
            try_number=self.tries,
            max_tries=self.max_tries,
            map_index=-1,
            dag_id="d",
            task_id="t",
            run_id=run_id,
            xcom_push=self.push,
        )
        run = SimpleNamespace(
            clear_number=self.max_tries - 1, run_id=run_id, run_type=run_type, run_after=datetime.now(UTC)
        )
        context = {"ti": task, "dag_run": run} | ({"task_state_store": self.store} if self.store is not None else {})
        made = operator(task_id="t", ledger=self.ledger, **given)
        return made.execute(context) if event is None else getattr(made, method)(context, event)


@pytest.fixture
def in_sqlite(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    return SqlLedger("ledger")


@pytest.fixture
def in_postgres(monkeypatch, _server, request):
    name = f"schedules_{abs(hash(request.node.name))}"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", _server.connection_json(_server.create_database(name)))
    return SqlLedger("ledger")


@pytest.fixture(params=["task state", "sqlite", "postgres"])
def task(request):
    """A task that is remembered, in each of the ways there are."""
    if request.param == "task state":
        return Task(store=Store())
    return Task(ledger=request.getfixturevalue(f"in_{request.param}"))


@pytest.fixture(params=["task state", "sqlite"])
def either(request):
    """The same, without the server."""
    return Task(store=Store()) if request.param == "task state" else Task(request.getfixturevalue("in_sqlite"))


class Braze:
    """What Braze's side knows."""

    def __init__(self, emulator):
        self._emulator, self._seen = emulator, 0

    def waiting(self):
        """The schedules that wait, by id."""
        return {one["schedule_id"]: one for one in self._emulator.schedules() if one["state"] == "waiting"}

    def days(self):
        return {one["due_at"][:10] for one in self.waiting().values()}

    def calls(self):
        """Count the last words of the paths that were called since this was asked last."""
        words = [request["path"].rpartition("/")[2] for request in self._emulator.requests()]
        new, self._seen = words[self._seen :], len(words)
        return {word: new.count(word) for word in sorted(set(new))}

    def all_sent(self, people=MANY, times=1):
        """Let all time pass: everybody got it once, or so often."""
        self._emulator.clock.advance(100 * 366 * 24 * 3600)
        got = {name.partition(":")[2]: count for name, count in self._emulator.deliveries().items()}
        assert got == dict.fromkeys(people, times)


@pytest.fixture
def braze(braze_emulator):
    return Braze(braze_emulator)


def soon(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# Nothing differs.


@pytest.mark.parametrize("when", [APRIL, "2099-04-07T11:00:00+02:00", {"time": "2099-04-07 09:00:00+00:00"}])
def test_the_same_again_changes_nothing(task, braze, when, caplog):
    caplog.set_level("INFO")
    first = task.try_(**VALUES)
    made = set(braze.waiting())
    braze.calls()
    again = task.try_(schedule=when, **VALUES)
    assert braze.calls() == {}
    assert set(braze.waiting()) == made
    assert again["schedule_ids"] == first["schedule_ids"]
    assert (again["updated"], again["deleted"], again["accepted_before"]) == (0, 0, 150)
    assert "3 schedules are in the ledger as they are wanted: nothing changes" in caplog.text
    braze.all_sent()


def test_what_was_not_begun_is_made(task, braze, braze_emulator):
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError):
        task.try_()
    [made] = braze.waiting()
    braze.calls()
    report = task.try_()
    assert braze.calls() == {"create": 2}
    assert report["schedule_ids"][0] == made
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


def test_the_report_says_when(either):
    report = either.try_()
    assert (report["due_from"], report["due_until"]) == ("2099-04-07T09:00:00+00:00",) * 2
    assert report["recipients"] == report["accepted"] == 150


@pytest.mark.parametrize(
    ("flag", "first", "last"),
    [
        ("in_local_time", "2099-04-06T19:00:00+00:00", "2099-04-07T21:00:00+00:00"),
        ("at_optimal_time", "2099-04-06T10:00:00+00:00", "2099-04-08T21:00:00+00:00"),
    ],
)
def test_the_first_and_the_last_moment_on_earth(either, flag, first, last):
    report = either.try_(schedule={"time": "2099-04-07T09:00:00", flag: True})
    assert (report["due_from"], report["due_until"]) == (first, last)


# The time or the content differs.


def test_another_time_updates(task, braze, braze_emulator):
    first = task.try_(**VALUES)
    braze.calls()
    again = task.try_(schedule=MAY, **VALUES)
    assert braze.calls() == {"update": 3}
    assert (again["updated"], again["deleted"], again["schedule_ids"]) == (3, 0, first["schedule_ids"])
    assert braze.days() == {MAY[:10]}
    assert task.try_(schedule=MAY, **VALUES)["updated"] == 0
    assert braze.calls() == {}
    braze.all_sent()


def test_a_flag_is_another_time(either, braze):
    either.try_()
    either.try_(schedule={"time": "2099-04-07T09:00:00", "in_local_time": True})
    assert [one["in_local_time"] for one in braze.waiting().values()] == [True] * 3


def test_other_messages_update(task, braze, braze_emulator):
    task.try_(BrazeScheduleMessagesOperator, external_user_ids=MANY, messages=PUSH)
    braze.calls()
    report = task.try_(BrazeScheduleMessagesOperator, external_user_ids=MANY, messages=NEWS)
    assert (braze.calls(), report["updated"]) == ({"update": 3}, 3)
    assert [one["body"]["messages"] for one in braze.waiting().values()] == [NEWS] * 3


def test_what_is_new_is_made_with_the_new_time(task, braze, braze_emulator):
    braze_emulator.inject("echo_key_401", skip=1)
    with pytest.raises(BrazeResumableError):
        task.try_()
    braze.calls()
    report = task.try_(schedule=MAY)
    assert (braze.calls(), report["updated"]) == ({"create": 2, "update": 1}, 1)
    assert braze.days() == {MAY[:10]}
    braze.all_sent()


def test_what_was_deleted_meanwhile_is_made_anew_by_an_update_after_a_clear(task, braze):
    report = task.try_()
    delete(report["schedule_ids"][:1])
    task.clear()
    braze.calls()
    again = task.try_(schedule=MAY)
    assert braze.calls() == {"create": 1, "delete": 1, "update": 3}
    assert (again["updated"], again["accepted"]) == (2, 150)
    assert set(braze.waiting()) == set(again["schedule_ids"])
    braze.all_sent()


def delete(ids):
    BrazeDeleteScheduledCampaignOperator(task_id="delete", campaign_id=WEEKLY, schedule_id=ids).execute({})


# Anything else differs.

ELSE = {
    "values": {"trigger_properties": {"roast": "light"}},
    "a recipient's own value": {
        "recipients": [*MANY[1:], {"external_user_id": "p0", "trigger_properties": {"roast": "light"}}]
    },
    "one more": {"recipients": [*MANY, "q"]},
    "fewer": {"recipients": MANY[:60]},
    "others": {"recipients": [f"q{number}" for number in range(120)]},
}


@pytest.mark.parametrize("what", ELSE)
def test_other_recipients_or_values_are_scheduled_anew(task, braze, what):
    first = task.try_(**VALUES)
    braze.calls()
    wanted = {**VALUES, **ELSE[what]}
    report = task.try_(schedule=MAY, **wanted)
    people = [one if isinstance(one, str) else one["external_user_id"] for one in wanted.get("recipients", MANY)]
    needed = -(-len(people) // 50)
    assert braze.calls() == {"create": needed, "delete": 3}
    assert (report["deleted"], report["accepted"], report["accepted_before"]) == (3, len(people), 0)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert not set(report["schedule_ids"]) & set(first["schedule_ids"])
    assert task.try_(schedule=MAY, **wanted)["deleted"] == 0
    assert braze.calls() == {}
    braze.all_sent(people)


def test_another_order_is_no_difference_to_a_ledger_that_knows_people(in_sqlite, braze):
    task = Task(in_sqlite)
    task.try_()
    braze.calls()
    assert task.try_(recipients=MANY[::-1])["deleted"] == 0
    assert braze.calls() == {}


def test_another_order_is_scheduled_anew_where_only_requests_are_known(braze):
    task = Task(store=Store())
    task.try_()
    braze.calls()
    assert task.try_(recipients=MANY[::-1])["deleted"] == 3
    assert braze.calls() == {"create": 3, "delete": 3}
    braze.all_sent()


@pytest.mark.parametrize(
    ("operator", "ids"),
    [
        (BrazeScheduleCampaignOperator, {"campaign_id": OTHER}),
        (BrazeScheduleCanvasOperator, {"canvas_id": CANVAS}),
        (BrazeScheduleMessagesOperator, {"messages": PUSH}),
    ],
)
def test_another_campaign_takes_the_place_of_the_first(task, braze, operator, ids):
    task.try_()
    braze.calls()
    people = "external_user_ids" if operator is BrazeScheduleMessagesOperator else "recipients"
    report = task.try_(operator, **ids, **{people: MANY})
    assert braze.calls() == {"create": 3, "delete": 3}
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert task.try_(operator, **ids, **{people: MANY})["deleted"] == 0
    braze.all_sent()


def test_nobody_left_deletes_all(either, braze):
    either.try_()
    braze.calls()
    report = either.try_(recipients=[], allow_empty=True)
    assert (braze.calls(), report["deleted"], report["schedule_ids"], braze.waiting()) == ({"delete": 3}, 3, [], {})
    assert len(either.try_()["schedule_ids"]) == 3


def test_a_broadcast_is_a_resource_too(either, braze):
    either.try_(broadcast=True)
    braze.calls()
    assert either.try_(broadcast=True, schedule=MAY)["updated"] == 1
    assert either.try_(broadcast=True, schedule=MAY, **VALUES)["deleted"] == 1
    assert braze.calls() == {"create": 1, "delete": 1, "update": 1}
    assert len(braze.waiting()) == 1


# Too late.


@pytest.mark.parametrize("change", [{}, VALUES])
@pytest.mark.parametrize(("seconds", "flag"), [(50, None), (13 * 3600, "in_local_time"), (3600, "at_optimal_time")])
def test_nothing_is_touched_once_the_first_message_may_have_gone_out(either, braze, seconds, flag, change):
    when = {"time": soon(seconds)[:19], flag: True} if flag else soon(seconds)
    either.try_(schedule=when)
    made = braze.waiting()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="some may have been sent") as caught:
        either.try_(schedule=MAY, **change)
    assert isinstance(caught.value, AirflowFailException)
    assert [word for word in ("new run of the DAG", "on_clear='resend'") if word not in str(caught.value)] == []
    assert (braze.calls(), braze.waiting()) == ({}, made)
    assert set(either.xcoms["schedule_ids"]) == set(made)
    assert either.try_(schedule=when)["accepted_before"] == 150, "nothing was begun"


def test_the_same_is_fine_at_any_time(either, braze):
    either.try_(schedule=(when := soon(50)))
    either.clear()
    braze.calls()
    assert either.try_(schedule=when)["accepted"] == 150
    assert braze.calls() == {}


def test_a_new_time_that_is_near_is_made_anew(either, braze):
    """Were an update due before all were updated, nobody could tell which of them went out."""
    either.try_()
    braze.calls()
    assert either.try_(schedule=soon(50))["deleted"] == 3
    assert braze.calls() == {"create": 3, "delete": 3}


# Cleared by a person.


def test_after_a_clear_braze_is_asked_for_each(task, braze):
    first = task.try_()
    delete(first["schedule_ids"][1:])
    braze.calls()
    task.clear()
    report = task.try_()
    assert braze.calls() == {"create": 2, "delete": 2, "update": 3}
    assert (report["updated"], report["accepted"]) == (0, 150)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


def test_a_key_that_may_not_update_is_no_reason_to_fail(either, braze, braze_emulator, connection):
    key = {"name": "create", "key": "key-that-creates", "permissions": ["campaigns.trigger.schedule.create"]}
    braze_emulator.reset({"api_keys": [key]})
    connection(password="key-that-creates")
    either.try_()
    braze.calls()
    either.clear()
    report = either.try_()
    assert braze.calls() == {"update": 1}
    assert "could not be asked" in report["notices"][0]
    assert len(report["schedule_ids"]) == 3


@pytest.mark.parametrize("fault", [None, "doubt"])
def test_resend_takes_back_what_waits_and_schedules_to_everybody(task, braze, braze_emulator, fault):
    if fault:
        braze_emulator.inject("drop_before_acceptance", skip=2)
        with pytest.raises(AirflowFailException):
            task.try_()
    else:
        task.try_()
    braze.calls()
    task.clear()
    report = task.try_(on_clear="resend")
    assert braze.calls() == {"create": 3, "delete": 2 if fault else 3}
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert task.try_(on_clear="resend")["deleted"] == 0, "a retry is no clear"
    braze.all_sent()


def test_resend_is_the_way_to_schedule_again_on_purpose(task, braze, people, braze_emulator):
    task.try_(schedule=soon(50))
    braze_emulator.clock.advance(60)
    assert people() == dict.fromkeys(sorted(MANY), 1)
    braze.calls()
    task.clear()
    report = task.try_(schedule=MAY, on_clear="resend")
    assert (braze.calls(), report["deleted"], report["accepted_before"]) == ({"create": 3}, 0, 0)
    assert task.try_(schedule=MAY)["accepted_before"] == 150
    braze.all_sent(times=2)


# Doubts.


@pytest.mark.parametrize("wanted", [{"schedule": MAY}, VALUES, {"recipients": MANY[::-1]}])
def test_a_doubt_comes_first(either, braze, braze_emulator, wanted):
    braze_emulator.inject("drop_after_acceptance", skip=1)
    with pytest.raises(AirflowFailException):
        either.try_()
    made = braze.waiting()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="in doubt"):
        either.try_(**wanted)
    assert (braze.calls(), braze.waiting()) == ({}, made)


def test_those_in_doubt_are_left_out_and_the_others_changed(either, braze, braze_emulator):
    braze_emulator.inject("drop_before_acceptance", skip=1)
    with pytest.raises(AirflowFailException):
        either.try_()
    braze.calls()
    report = either.try_(schedule=MAY, on_unknown="skip")
    assert (report["updated"], report["accepted"], report["unknown"]) == (1, 100, 50)
    assert report["recipients"] == 150


def test_those_in_doubt_are_scheduled_again(either, braze, braze_emulator):
    braze_emulator.inject("drop_before_acceptance", skip=1)
    with pytest.raises(AirflowFailException):
        either.try_()
    braze.calls()
    report = either.try_(**VALUES, on_unknown="resend")
    assert braze.calls() == {"create": 3, "delete": 1}
    assert (report["deleted"], report["accepted"], report["unknown"]) == (1, 150, 0)
    braze.all_sent()


def test_whom_a_doubt_is_of_cannot_be_known_where_only_requests_are(braze, braze_emulator):
    task = Task(store=Store())
    braze_emulator.inject("drop_before_acceptance", skip=1)
    with pytest.raises(AirflowFailException):
        task.try_()
    made = braze.waiting()
    braze.calls()
    with pytest.raises(BrazeAudienceError, match="another one than in the try before"):
        task.try_(recipients=MANY[::-1], on_unknown="skip")
    assert (braze.calls(), braze.waiting()) == ({}, made)


# What Braze answers on the way.


FAULTS = ["drop_before_acceptance", "drop_after_acceptance", "server_error", "rate_limited"]
BY_PATH = {DELETE: VALUES, UPDATE: {"schedule": MAY}}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", BY_PATH)
def test_lost_answers_of_changes_are_asked_for_again(either, braze, braze_emulator, fault, path):
    wanted = BY_PATH[path]
    either.try_()
    braze_emulator.inject(fault, path=path, times=2)
    report = either.try_(**wanted)
    assert report["accepted"] == 150
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


@pytest.mark.parametrize("skip", [0, 1, 2])
@pytest.mark.parametrize("path", BY_PATH)
def test_a_change_that_is_refused_may_be_tried_again(either, braze, braze_emulator, skip, path):
    wanted = BY_PATH[path]
    either.try_()
    braze_emulator.inject("echo_key_401", path=path, skip=skip)
    with pytest.raises(BrazeResumableError, match="another try goes on") as caught:
        either.try_(**wanted)
    assert not isinstance(caught.value, AirflowFailException)
    assert braze_emulator.api_key not in str(caught.value)
    assert braze.days() <= {APRIL[:10], MAY[:10]}
    report = either.try_(**wanted)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert {one["due_at"][:7] for one in braze.waiting().values()} == {"2099-05" if path == UPDATE else "2099-04"}
    braze.all_sent()


def test_another_connection_may_lead_to_another_workspace(either, braze, monkeypatch, braze_emulator):
    either.try_()
    made = braze.waiting()
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", braze_emulator.connection_json())
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="'braze_default', this is 'elsewhere'"):
        either.try_(**VALUES, braze_conn_id="elsewhere")
    assert (braze.calls(), braze.waiting()) == ({}, made)


def test_a_note_that_is_lost_is_no_reason_to_guess(braze):
    task = Task(store=Store())
    task.try_()
    del task.store["braze/delivery/0/note"]
    made = braze.waiting()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="lost its note"):
        task.try_(schedule=MAY)
    assert (braze.calls(), braze.waiting()) == ({}, made)


# What Braze refuses: the schedule may be gone, and it may as well be the task that is wrong.

EMAIL = {"app_id": "a1b2c3d4-0000-4000-8000-00000000000a", "from": "A <a@example.com>", "body": "Beans!"}


@pytest.fixture
def email(braze_emulator):
    """Schedule an e-mail of a campaign's variation, by default one that is there."""
    known = next(one for one in braze_emulator._state.workspace.campaigns[WEEKLY].variations if one.channel == "email")

    def content(subject, variation=known.id):
        messages = {"email": {**EMAIL, "subject": subject, "message_variation_id": variation}}
        return {
            "operator": BrazeScheduleMessagesOperator,
            "external_user_ids": MANY,
            "campaign_id": WEEKLY,
            "messages": messages,
        }

    return content


TYPO = "c0ffee00-0000-4000-8000-00000000dead"


def test_an_update_that_is_wrong_says_nothing_of_the_schedules(either, braze, email):
    first = either.try_(**email("one"))
    braze.calls()
    for _ in range(2):
        with pytest.raises(BrazeDeliveryError, match=r"Invalid Message Variant.* Nothing was changed") as caught:
            either.try_(**email("two", TYPO))
        assert isinstance(caught.value, AirflowFailException)
        assert braze.calls() == {"update": 1}
        assert either.xcoms["schedule_ids"] == first["schedule_ids"]
        assert set(braze.waiting()) == set(first["schedule_ids"])
    either.clear()
    assert either.try_(**email("two"))["updated"] == 3
    assert braze.calls() == {"update": 3}
    assert {one["body"]["messages"]["email"]["subject"] for one in braze.waiting().values()} == {"two"}
    braze.all_sent()


def test_a_wrong_update_that_is_taken_back_changes_nothing(either, braze, email):
    either.try_(**email("one"))
    with pytest.raises(BrazeDeliveryError):
        either.try_(**email("two", TYPO))
    braze.calls()
    assert either.try_(**email("one"))["accepted_before"] == 150
    assert braze.calls() == {}
    braze.all_sent()


def test_after_a_clear_what_cannot_be_updated_is_deleted_before_it_is_forgotten(either, braze, email):
    either.try_(**email("one"))
    either.clear()
    with pytest.raises(BrazeDeliveryError, match="Invalid Message Variant"):
        either.try_(**email("two", TYPO))
    assert braze.waiting() == {}
    either.clear()
    assert either.try_(**email("two"))["accepted"] == 150
    braze.all_sent()


CHANGED = {"deletes": VALUES, "updates": {"schedule": MAY}}


@pytest.mark.parametrize("gone", [0, 2])
@pytest.mark.parametrize("change", CHANGED)
def test_what_is_gone_without_a_clear_stops_the_task_until_somebody_has_looked(either, braze, change, gone):
    wanted = CHANGED[change]
    first = either.try_()
    delete([either.try_()["schedule_ids"][gone]])
    for _ in range(2):
        with pytest.raises(BrazeDeliveryError, match="was deleted already") as caught:
            either.try_(**wanted)
        assert isinstance(caught.value, AirflowFailException)
        assert first["schedule_ids"][gone] in either.xcoms["schedule_ids"]
    assert "look into Braze" in str(caught.value)
    either.clear()
    report = either.try_(**wanted)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


@pytest.mark.parametrize(("gone", "said"), [(0, "Nothing was changed"), (2, "2 others were deleted")])
def test_what_was_changed_before_a_refusal_is_said(either, gone, said):
    delete([either.try_()["schedule_ids"][gone]])
    with pytest.raises(BrazeDeliveryError, match=said):
        either.try_(**VALUES)


def test_a_delete_whose_answers_were_all_lost_may_have_been_done(either, braze, braze_emulator):
    either.try_()
    braze_emulator.inject("drop_after_acceptance", path=DELETE, times=5)
    with pytest.raises(BrazeResumableError):
        either.try_(**VALUES)
    report = either.try_(**VALUES)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


def test_a_delete_that_was_clearly_not_done_is_no_sign_that_it_was(either, braze, braze_emulator):
    first = either.try_()
    braze_emulator.inject("echo_key_401", path=DELETE)
    with pytest.raises(BrazeResumableError):
        either.try_(**VALUES)
    delete(first["schedule_ids"][:1])
    with pytest.raises(BrazeDeliveryError, match="was deleted already") as caught:
        either.try_(**VALUES)
    assert isinstance(caught.value, AirflowFailException)


def test_a_clear_whose_look_failed_looks_again(either, braze, braze_emulator):
    delete(either.try_()["schedule_ids"][1:])
    either.clear()
    braze_emulator.inject("drop_before_acceptance", path=UPDATE, times=5)
    with pytest.raises(BrazeResumableError, match="could not be asked"):
        either.try_()
    report = either.try_()
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


def test_another_run_makes_anew_what_is_gone(in_sqlite, braze):
    task = Task(in_sqlite)
    delete(task.try_(delivery_key="launch", run_id="r1")["schedule_ids"][:2])
    assert task.try_(delivery_key="launch", run_id="r2", schedule=MAY)["updated"] == 1
    braze.all_sent()


# Killed at any moment.


class Killed(BaseException):
    """As a signal would."""


@contextmanager
def killed_at(number, side):
    """Let the n-th of the ledger's writes kill the try: before it is durable, or after; gives the writes, as a list."""
    writes = []

    def wrapped(method):
        def call(self, *arguments):
            writes.append(method.__name__)
            if side == "before" and len(writes) == number:
                raise Killed
            method(self, *arguments)
            if len(writes) == number:
                raise Killed

        return call

    with pytest.MonkeyPatch.context() as patch:
        for kind in (task_state._OpenTaskState, sql_ledger._OpenSqlLedger):
            for name in ("keep_note", "forget", "restart"):
                patch.setattr(kind, name, wrapped(getattr(kind, name)))
        with suppress(Killed):
            yield writes


CHANGES = {"time": {"schedule": MAY}, "values": VALUES, "people": {"recipients": MANY[10:]}}


@pytest.mark.parametrize("killed", list(product(range(1, 5), ["before", "after"])))
@pytest.mark.parametrize(("what", "last"), list(product(CHANGES, [{}, {"schedule": JUNE}])))
def test_killed_between_a_change_and_its_note(either, braze, what, last, killed):
    either.try_()
    wanted = CHANGES[what]
    with killed_at(*killed) as writes:
        either.try_(**wanted)
    assert len(writes) == killed[0], "it is still alive"
    wanted = {**wanted, **last}
    report = either.try_(**wanted)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert [one["body"].get("trigger_properties") for one in braze.waiting().values()] == [
        wanted.get("trigger_properties")
    ] * 3
    assert braze.days() == {wanted.get("schedule", APRIL)[:10]}
    braze.all_sent(wanted.get("recipients", MANY))


@pytest.mark.parametrize("number", range(2, 5))
@pytest.mark.parametrize("what", CHANGES)
def test_killed_and_then_wanted_as_it_was(either, braze, what, number):
    either.try_()
    with killed_at(number, "before"):
        either.try_(**CHANGES[what])
    report = either.try_()
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert braze.days() == {APRIL[:10]}
    braze.all_sent()


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_killed_while_all_is_taken_back_to_be_scheduled_anew(either, braze, number):
    """The clear is noticed once; what it was to bring is safe from being made twice, but not from being left out."""
    either.try_()
    either.clear()
    with killed_at(number, "after"):
        either.try_(on_clear="resend")
    report = either.try_(on_clear="resend")
    assert set(braze.waiting()) == set(report["schedule_ids"])
    braze.all_sent()


def test_what_was_deleted_and_not_forgotten_is_in_doubt_once_it_was_due(either, braze, monkeypatch):
    """Whether the rest was deleted or sent cannot be told from an answer that there is no such schedule."""
    either.try_()
    with killed_at(2, "before"):
        either.try_(**VALUES)
    monkeypatch.setattr(schedules, "NEAR", 100 * 366 * 24 * 3600)
    made = braze.waiting()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="some may have been sent"):
        either.try_(**VALUES)
    assert (braze.calls(), braze.waiting()) == ({}, made)


def test_a_try_that_was_taken_over_changes_nothing_more(in_sqlite, braze):
    task = Task(in_sqlite)
    task.try_()
    with killed_at(1, "after"):
        task.try_(**VALUES)
    note, kept = sql_ledger._OpenSqlLedger.keep_note, []

    def late(self, given):
        kept.append(given)
        if len(kept) == 1:
            task.try_(**VALUES)
        note(self, given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_ledger._OpenSqlLedger, "keep_note", late)
        with pytest.raises(BrazeLedgerError, match="taken over"):
            task.try_(schedule=MAY)
    assert braze.days() == {APRIL[:10]}
    assert len(braze.waiting()) == 3


# One key in many runs.


def test_another_run_with_the_same_key_goes_on_from_the_one_before(in_sqlite, braze):
    task = Task(in_sqlite)
    first = task.try_(delivery_key="launch", run_id="r1")
    braze.calls()
    assert task.try_(delivery_key="launch", run_id="r2")["schedule_ids"] == first["schedule_ids"]
    assert braze.calls() == {"update": 3}, "somebody may have deleted them since"
    assert task.try_(delivery_key="launch", run_id="r3", schedule=MAY)["updated"] == 3
    assert task.try_(delivery_key="launch", run_id="r4", schedule=MAY, **VALUES)["deleted"] == 3
    braze.all_sent()


def test_without_a_key_each_run_has_its_own(in_sqlite, braze):
    for run in ("r1", "r2"):
        Task(in_sqlite).try_(run_id=run)
    assert len(braze.waiting()) == 6


def test_the_ids_are_known_where_another_run_fails_before_it_looks(in_sqlite, braze):
    task = Task(in_sqlite)
    task.try_(delivery_key="launch", run_id="r1")
    later = Task(in_sqlite)
    with pytest.raises(AirflowException):
        later.try_(delivery_key="launch", run_id="r2", recipients=[None])
    assert set(later.xcoms["schedule_ids"]) == set(braze.waiting())


def test_resend_under_a_key_begins_anew_for_later_runs_too(in_sqlite, braze):
    task = Task(in_sqlite)
    task.try_(delivery_key="launch", run_id="r1")
    task.clear()
    second = task.try_(delivery_key="launch", run_id="r1", on_clear="resend")
    assert second["deleted"] == 3
    later = Task(in_sqlite)
    assert later.try_(delivery_key="launch", run_id="r2", on_clear="resend")["schedule_ids"] == second["schedule_ids"]
    assert set(braze.waiting()) == set(second["schedule_ids"])
    braze.all_sent()


# Held until all is sent.


def held(task, **parameters):
    with pytest.raises(TaskDeferred) as caught:
        task.try_(wait_until_sent=True, **parameters)
    return caught.value


def test_the_task_waits_until_the_last_message_has_gone_out(either, braze):
    deferred = held(either, schedule={"time": "2099-04-07T09:00:00", "in_local_time": True})
    assert deferred.method_name == "sent"
    path, given = deferred.trigger.serialize()
    assert path == "airflow_provider_braze.triggers.schedules.BrazeScheduleTrigger"
    assert json.loads(json.dumps(given)) == given
    assert given["moment"] == "2099-04-07T21:00:00+00:00"
    assert given["fields"] == {"campaign_id": WEEKLY}
    assert given["endpoint"] == "campaigns_trigger_schedule_delete"
    assert set(given["schedule_ids"]) == set(either.xcoms["schedule_ids"]) == set(braze.waiting())
    report = either.try_(event={"report": given["report"]}, method="sent")
    assert report["accepted"] == 150
    assert json.loads(json.dumps(report)) == report


LOCAL_NOW = {"time": datetime.now(UTC).isoformat()[:19], "in_local_time": True}


def test_a_wait_that_was_broken_too_late_says_so(either, braze):
    held(either, schedule=LOCAL_NOW)
    either.clear()
    with pytest.raises(BrazeDeliveryError, match="some may have been sent"):
        either.try_(schedule=LOCAL_NOW)


def test_without_a_ledger_the_task_waits_too(braze):
    deferred = held(Task())
    assert set(deferred.trigger.schedule_ids) == set(braze.waiting())


def test_what_is_due_already_is_not_waited_for(either):
    """The clock of whoever planned it may be late by a moment."""
    report = either.try_(wait_until_sent=True, recipients=[], allow_empty=True)
    assert report["schedule_ids"] == []


def test_a_dry_run_does_not_wait(either):
    assert either.try_(wait_until_sent=True, dry_run=True)["dry_run"] is True


@pytest.mark.parametrize("called_off", [True, False])
def test_whoever_ends_the_wait_has_it_made_anew(task, braze, called_off):
    """The triggerer deletes them, unless it is one of Airflow 3.1, or was not there."""
    deferred = held(task)
    if called_off:
        delete(deferred.trigger.schedule_ids)
    braze.calls()
    task.clear()
    report = task.try_()
    assert braze.calls() == {"create": 3, "delete": 3}
    assert report["deleted"] == (0 if called_off else 3)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert not set(braze.waiting()) & set(deferred.trigger.schedule_ids)
    braze.all_sent()


@pytest.mark.parametrize("ended", [False, True])
def test_a_pause_for_the_quota_is_held_too(either, braze, braze_emulator, ended):
    braze_emulator.inject("rate_limited", retry_after=5.0, header_style="retry_after", skip=2)
    with pytest.raises(TaskDeferred) as caught:
        either.try_(**AT_ONCE)
    deferred = caught.value
    assert deferred.method_name == "resume"
    assert set(deferred.trigger.schedule_ids) == set(either.xcoms["schedule_ids"]) == set(braze.waiting())
    assert len(braze.waiting()) == 2
    braze_emulator.clear_faults()
    braze.calls()
    report = either.try_() if ended else either.try_(event={}, method="resume")
    assert braze.calls() == ({"create": 3, "delete": 2} if ended else {"create": 1})
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert either.try_()["deleted"] == 0, "the wait is over"
    braze.all_sent()


@pytest.mark.parametrize(
    ("what", "path", "rest"),
    [
        ({"schedule": MAY}, UPDATE, {"update": 2}),
        (VALUES, DELETE, {"delete": 2, "create": 3}),
        ({}, UPDATE, {"update": 2}),
    ],
    ids=["another time", "other values", "a look after a clear"],
)
@pytest.mark.parametrize("ended", [False, True])
def test_a_change_does_not_keep_a_worker_for_the_quota(either, braze, braze_emulator, what, path, rest, ended):  # noqa: PLR0917
    """It goes on where it was, unless somebody ended the pause: then all is deleted and made anew."""
    made = set(either.try_()["schedule_ids"])
    if not what:
        either.clear()
    braze_emulator.inject("rate_limited", path=path, retry_after=5.0, header_style="retry_after", skip=1)
    with pytest.raises(TaskDeferred) as caught:
        either.try_(**AT_ONCE, **what)
    assert caught.value.method_name == "resume"
    assert set(caught.value.trigger.schedule_ids) == set(braze.waiting()) <= made
    braze_emulator.clear_faults()
    braze.calls()
    waiting = len(braze.waiting())
    report = either.try_(**what) if ended else either.try_(event={}, method="resume", **what)
    assert braze.calls() == ({"delete": waiting, "create": 3} if ended else rest)
    assert set(braze.waiting()) == set(report["schedule_ids"])
    assert (report["updated"] == 3) == (what == {"schedule": MAY} and not ended)
    assert either.try_(**what)["deleted"] == 0, "the wait is over"
    braze.all_sent()


class Stopped(BrazeScheduleCampaignOperator):
    """A person stops it before it begins."""

    def check_run(self, context):
        super().check_run(context)
        self.on_kill()


@pytest.mark.parametrize("change", [{"schedule": MAY}, VALUES])
def test_who_is_stopped_changes_nothing_more(either, braze, change):
    either.try_()
    braze.calls()
    with pytest.raises(BrazeResumableError, match="stopped from outside"):
        either.try_(Stopped, campaign_id=WEEKLY, **change)
    assert braze.calls() == {}
    assert len(either.xcoms["schedule_ids"]) == 3
    either.try_(**change)
    braze.all_sent()


# Refused before it looks.


@pytest.mark.parametrize(
    ("parameters", "kind", "run"),
    [
        ({"max_staleness": timedelta(0)}, BrazeDeliveryError, "scheduled"),
        ({}, AirflowSkipException, "backfill"),
        ({"on_backfill": "fail"}, BrazeDeliveryError, "backfill"),
    ],
)
def test_a_run_that_is_refused_keeps_what_an_earlier_try_made(either, braze, parameters, kind, run):
    either.try_()
    either.clear()
    either.xcoms.clear()
    with pytest.raises(kind):
        either.try_(run_type=run, **parameters)
    assert set(either.xcoms["schedule_ids"]) == set(braze.waiting())
    assert either.xcoms["program"] == {"campaign_id": WEEKLY}


def test_what_a_key_names_is_not_the_refused_run_s(in_sqlite, braze):
    Task(in_sqlite).try_(delivery_key="launch", run_id="r1")
    later = Task(in_sqlite)
    with pytest.raises(AirflowSkipException):
        later.try_(delivery_key="launch", run_id="r2", run_type="backfill")
    assert later.xcoms == {}


@pytest.mark.parametrize("key", [None, "launch"])
def test_a_try_that_cannot_tell_its_workspace_keeps_what_an_earlier_one_made(
    in_sqlite, braze, braze_emulator, connection, key
):
    task, wanted = Task(in_sqlite), {"workspace": "prod", "delivery_key": key}
    connection(extra={"lanes": 1, "workspace": "prod", "workspace_campaign_id": WEEKLY})
    task.try_(**wanted)
    for fault in ("server_error", None):
        task.clear()
        task.xcoms.clear()
        if fault:
            braze_emulator.inject(fault, path="/campaigns/details", times=None, status=503)
        else:
            braze_emulator.clear_faults()
            connection(extra={"lanes": 1, "workspace": "staging"})
        with pytest.raises(BrazeServerError if fault else BrazeConfigurationError):
            task.try_(**wanted)
        assert set(task.xcoms["schedule_ids"]) == set(braze.waiting())
        assert task.xcoms["due_from"] == "2099-04-07T09:00:00+00:00"
    braze.all_sent()


def test_a_first_try_that_fails_before_it_begins_says_that_there_are_none(either):
    with pytest.raises(BrazeConfigurationError):
        either.try_(workspace="prod")
    assert either.xcoms["schedule_ids"] == []


def test_what_nothing_remembers_is_not_taken_for_none(braze):
    task = Task()
    task.try_()
    task.xcoms.clear()
    with pytest.raises(BrazeDeliveryError, match="This is try 2"):
        task.try_()
    assert "schedule_ids" not in task.xcoms
    report = task.try_(dry_run=True)
    assert "schedule_ids" not in task.xcoms.keys() | report.keys()
    assert len(braze.waiting()) == 3


def test_a_ledger_that_cannot_be_read_is_not_taken_for_an_empty_one(in_sqlite, monkeypatch):
    task = Task(in_sqlite)
    task.try_()
    task.xcoms.clear()
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": "/nowhere/ledger.db"}))
    with pytest.raises(BrazeLedgerError):
        task.try_()
    assert task.xcoms == {}


# A dry run.


def test_a_dry_run_tells_what_is_scheduled_already(either, braze):
    """So that whoever calls it off afterwards finds it."""
    either.try_()
    either.clear()
    either.xcoms.clear()
    report = either.try_(dry_run=True, schedule=MAY)
    assert report["dry_run"] is True
    assert set(report["schedule_ids"]) == set(braze.waiting()) == set(either.xcoms["schedule_ids"])
    assert either.xcoms["program"] == {"campaign_id": WEEKLY}
    assert report["due_from"] == either.xcoms["due_from"] == "2099-04-07T09:00:00+00:00"
    assert (report["updated"], report["deleted"], len(braze.waiting())) == (0, 0, 3)
    braze.all_sent()


def test_a_first_dry_run_has_scheduled_nothing(either):
    report = either.try_(dry_run=True)
    assert report["schedule_ids"] == either.xcoms["schedule_ids"] == []
    assert report["due_until"] == "2099-04-07T09:00:00+00:00"


def test_a_dry_run_leaves_alone_what_a_key_names(in_sqlite):
    Task(in_sqlite).try_(delivery_key="launch", run_id="r1")
    assert Task(in_sqlite).try_(delivery_key="launch", run_id="r2", dry_run=True)["schedule_ids"] == []


# Once its time is past.


@pytest.fixture
def two_hours_later(monkeypatch):
    """Let it be so for all that looks whether a schedule's time is past."""
    span = timedelta(hours=2)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + span

    def put_forward():
        monkeypatch.setattr(models_schedules, "datetime", Later)
        for module in (schedules, overdue):
            monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: time.time() + span.total_seconds()))

    return put_forward


@pytest.mark.parametrize("cleared", [True, False])
@pytest.mark.parametrize("what", [{}, {"broadcast": True}], ids=["people", "broadcast"])
def test_afterwards_nothing_is_left_to_schedule(either, braze, two_hours_later, cleared, what):
    hour = {"schedule": soon(3600), **what}
    first = either.try_(**hour)
    two_hours_later()
    if cleared:
        either.clear()
    braze.calls()
    report = either.try_(**hour)
    assert {name: report[name] for name in ("schedule_ids", "accepted", "updated", "deleted")} == {
        name: first[name] for name in ("schedule_ids", "accepted", "updated", "deleted")
    }
    assert braze.calls() == {}


def test_afterwards_who_was_not_scheduled_to_is_counted(either, braze, braze_emulator, two_hours_later):
    hour = {"schedule": soon(3600)}
    braze_emulator.inject("echo_key_401", skip=1, times=None)
    with pytest.raises(BrazeResumableError):
        either.try_(**hour)
    braze_emulator.clear_faults()
    two_hours_later()
    braze.calls()
    either.xcoms.clear()
    with pytest.raises(BrazeDeliveryError, match=r"50 of 150 recipients were scheduled .* 100 were not") as caught:
        either.try_(**hour)
    assert isinstance(caught.value, AirflowFailException)
    assert (caught.value.report["accepted"], caught.value.report["skipped"]) == (50, 100)
    assert either.xcoms["schedule_ids"] == caught.value.report["schedule_ids"] == list(braze.waiting())
    assert braze.calls() == {}


def test_afterwards_another_time_that_is_past_changes_nothing(either, braze, two_hours_later):
    either.try_(schedule=soon(3600))
    two_hours_later()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="for another time"):
        either.try_(schedule=soon(1800))
    assert len(either.xcoms["schedule_ids"]) == 3
    assert braze.calls() == {}


def test_afterwards_other_recipients_change_nothing(either, braze, two_hours_later):
    hour = {"schedule": soon(3600)}
    either.try_(**hour)
    two_hours_later()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="some may have been sent"):
        either.try_(**hour, **VALUES)
    assert braze.calls() == {}


def test_afterwards_everybody_cannot_be_scheduled_to_again(either, braze, two_hours_later):
    hour = {"schedule": soon(3600)}
    either.try_(**hour)
    two_hours_later()
    either.clear()
    braze.calls()
    with pytest.raises(BrazeDeliveryError, match="150 of 150 recipients were scheduled"):
        either.try_(**hour, on_clear="resend")
    assert either.try_(**hour)["accepted"] == 150, "the ledger still knows"
    assert braze.calls() == {}


def test_a_time_that_was_always_past_is_a_mistake(either, braze):
    """What was scheduled for another time waits still, and stays so."""
    with pytest.raises(BrazeValidationError, match="already past"):
        either.try_(schedule=soon(-3600))
    either.try_()
    with pytest.raises(BrazeValidationError, match="already past"):
        either.try_(schedule=soon(-3600))
    assert set(either.xcoms["schedule_ids"]) == set(braze.waiting())
    braze.all_sent()


def test_the_program_is_that_of_the_schedules_also_where_a_change_fails(either, braze, braze_emulator):
    either.try_()
    assert either.xcoms["program"] == {"campaign_id": WEEKLY}
    braze_emulator.inject("echo_key_401", path=DELETE, skip=1)
    with pytest.raises(BrazeResumableError):
        either.try_(campaign_id=OTHER)
    assert either.xcoms["program"] == {"campaign_id": WEEKLY}
    either.try_(campaign_id=OTHER)
    assert either.xcoms["program"] == {"campaign_id": OTHER}
