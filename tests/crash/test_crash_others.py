"""What else goes through the engine: broadcasts, schedules, mapped tasks, e-mails; and what clearing does."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from concurrent.futures import Future

import pytest
from crash_support import BATCH, HAS_STORE, LEDGERS, SEND

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
SCHEDULE = "/campaigns/trigger/schedule/create"
EMAIL = "/transactional/v1/campaigns/7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60/send"
# The ledger that a task has by itself; on Airflow 3.1 that is none.
DEFAULT = "none"


def kill_unanswered(cell, number, path=SEND, **changes):
    """Run a try that is killed when the emulator has taken on a request, before its answer is there."""
    proxy = cell.proxy(number, "unanswered", lambda: cell.signal("SIGKILL"), path)
    state = cell.run(proxy=proxy, **changes)
    assert proxy.struck.wait(60)
    cell.settled()
    return state


def once(cell):
    return dict.fromkeys(range(cell.people), 1)


# By default, and without any ledger.


@pytest.mark.parametrize("way_on", ["retry", "clear"])
def test_by_default(cell, way_on):
    """Airflow 3.3 and newer remember by themselves; before that a second try refuses, and says why."""
    trial = cell(ledger=DEFAULT, on_unknown="reconcile", lanes=4)
    assert kill_unanswered(trial, 4, witness=False) == "up_for_retry"
    if way_on == "clear":
        trial.clear()
    before = trial.deliveries()
    state = trial.run(witness=False)
    if HAS_STORE:
        assert (state, dict(trial.deliveries())) == ("success", once(trial))
    else:
        assert (state, trial.deliveries()) == ("failed", before)
        assert "it is not known, nothing was sent now" in trial.log()
        assert "ledger=SqlLedger(conn_id)" in trial.log()


# A person decides otherwise than by asking Braze.


@pytest.mark.parametrize("decision", ["skip", "resend"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_doubt_that_a_person_decides(cell, ledger, decision):
    trial = cell(ledger=ledger, on_unknown="fail", lanes=4)
    kill_unanswered(trial, 4)
    doubt = trial.persons(trial.ledger()[1])
    before = set(trial.deliveries())
    assert len(doubt) >= BATCH
    assert trial.run() == "failed"
    trial.clear()
    assert trial.run(on_unknown=decision) == "success"
    after = trial.deliveries()
    if decision == "skip":
        assert set(after.values()) == {1}
        assert set(range(trial.people)) - set(after) == doubt - before
        assert trial.report["unknown"] == len(doubt)
    else:
        assert set(after) == set(range(trial.people))
        assert {person for person, count in after.items() if count == 2} == doubt & before
        assert max(after.values()) == 2


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("on_unknown", ["skip", "resend", "reconcile"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_killed_again_and_again(cell, ledger, on_unknown, times):
    """Each try is killed while it treats what the one before has left in doubt."""
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=2, people=900)
    moments = ("unanswered", "half_sent", "unanswered")[:times]
    for moment in moments:
        proxy = trial.proxy(2, moment, lambda: trial.signal("SIGKILL"))
        assert trial.run(proxy=proxy) == "up_for_retry"
        trial.settled()
    assert trial.run() == "success"
    after = trial.deliveries()
    if on_unknown == "skip":
        assert set(after.values()) == {1}
        assert len(after) + trial.report["unknown"] >= trial.people
    elif on_unknown == "resend":
        assert set(after) == set(range(trial.people))
        assert max(after.values()) <= 1 + times
    else:
        assert dict(after) == once(trial)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_killed_while_braze_is_asked(cell, ledger):
    trial = cell(ledger=ledger, on_unknown="reconcile", lanes=4)
    kill_unanswered(trial, 4)
    kill_unanswered(trial, 1, "/users/export/ids")
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == once(trial)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_braze_cannot_be_asked(cell, ledger):
    """As long as Braze cannot be asked nothing is sent to those in doubt; Airflow goes on when it can."""
    trial = cell(ledger=ledger, on_unknown="reconcile", lanes=4)
    kill_unanswered(trial, 4)
    people = len(trial.persons(trial.ledger()[1]))
    trial.emulator.inject("echo_key_401", path="/users/export/ids", times=None)
    state = trial.run()
    assert set(trial.deliveries().values()) == {1}
    assert f"{people} recipients are in doubt" in trial.log()
    trial.emulator.clear_faults()
    assert state == "up_for_retry", "the ledger knows who is in doubt: Airflow may go on by itself"
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == once(trial)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_canvas_is_reconciled(cell, ledger):
    trial = cell("canvas", ledger=ledger, on_unknown="reconcile", lanes=4)
    kill_unanswered(trial, 4, "/canvas/trigger/send")
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == once(trial)


# The worker is lost with all that was on it.


@pytest.mark.parametrize("on_unknown", ["fail", "reconcile"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_the_machine_is_lost(cell, ledger, on_unknown):
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=4)
    started = Future()
    proxy = trial.proxy(4, "unanswered", lambda: (os.kill(started.result(60), signal.SIGKILL), trial.signal("SIGKILL")))
    started.set_result(worker := trial.start(proxy=proxy))
    assert trial.station.wait(worker) == -signal.SIGKILL
    trial.settled()
    people = len(trial.persons(trial.ledger()[1]))
    assert trial.state == "up_for_retry"
    if on_unknown == "fail":
        before = trial.deliveries()
        assert trial.run() == "failed"
        assert f"{people} recipients are in doubt" in trial.log()
        assert trial.deliveries() == before
        trial.clear()
    assert trial.run(on_unknown="reconcile") == "success"
    assert dict(trial.deliveries()) == once(trial)


# Clears.


@pytest.mark.parametrize("ledger", LEDGERS)
def test_cleared_while_it_runs(cell, ledger):
    # So many that they take a quarter of a minute: the supervisor hears of the clear at its next heartbeat.
    trial = cell(ledger=ledger, on_unknown="reconcile", lanes=1, people=2000)
    trial.emulator.inject("slow", path=SEND, times=None, seconds=0.4)
    worker = trial.start()
    wait_for(lambda: trial.sends() >= 2)
    trial.clear()
    assert trial.station.wait(worker) is not None
    assert len(trial.deliveries()) < trial.people, "the clear has stopped it"
    trial.emulator.clear_faults()
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == once(trial)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_cleared_delivery_that_was_done(cell, ledger):
    trial = cell(ledger=ledger, on_unknown="reconcile")
    assert trial.run() == "success"
    for _ in range(2):
        trial.clear()
        assert trial.run() == "success"
        assert trial.report["accepted_before"] == trial.people
    assert dict(trial.deliveries()) == once(trial)
    assert "It was cleared: only what is left is sent." in trial.log()


@pytest.mark.parametrize("ledger", LEDGERS)
def test_sent_again_on_purpose_and_killed(cell, ledger):
    """A clear with on_clear="resend" begins a new delivery; the retries after it belong to that one."""
    # Many more than are claimed at once, so that the kill comes before the end.
    trial = cell(ledger=ledger, on_unknown="resend", on_clear="resend", lanes=4, people=1465)
    assert trial.run() == "success"
    trial.clear()
    assert kill_unanswered(trial, 4) == "up_for_retry"
    between = trial.deliveries()
    assert BATCH < sum(between.values()) - trial.people < trial.people
    assert trial.run() == "success"
    after = trial.deliveries()
    assert min(after.values()) == 2
    assert max(after.values()) <= 3
    assert sum(count == 3 for count in after.values()) <= 8 * BATCH
    trial.clear()
    assert trial.run() == "success"
    assert trial.deliveries() == after + Counter(range(trial.people))


# Broadcasts: one request, for everybody or for nobody.


@pytest.fixture
def members(braze_emulator):
    braze_emulator.add_users({"external_id": f"p{number}"} for number in range(30))
    braze_emulator.add_campaign(CAMPAIGN, name="Everybody", channel="email", message={"subject": "Hi", "body": "Hi"})


@pytest.mark.parametrize("way_on", ["retry", "clear"])
@pytest.mark.parametrize("on_unknown", ["fail", "skip", "resend"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_broadcast_is_killed(cell, members, ledger, on_unknown, way_on):
    trial = cell("broadcast", ledger=ledger, on_unknown=on_unknown)
    kill_unanswered(trial, 1)
    assert trial.sends() == 1
    before = trial.emulator.summary()["total"]
    assert before >= 30
    if way_on == "clear":
        trial.clear()
    state = trial.run()
    sends = trial.sends()
    if on_unknown == "fail":
        assert (state, sends) == ("failed", 1)
        assert "The broadcast is in doubt (1 request)" in trial.log()
        trial.clear()
        assert trial.run(on_unknown="skip") == "success"
        assert trial.sends() == 1
    else:
        assert (state, sends) == ("success", 1 if on_unknown == "skip" else 2)
    assert trial.emulator.summary()["total"] == before * trial.sends()


@pytest.mark.parametrize("moment", ["after_intent", "before_outcome", "after_outcome"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_broadcast_goes_out_once(cell, members, ledger, moment):
    trial = cell("broadcast", ledger=ledger, on_unknown="skip")
    assert trial.run(kill={"at": moment, "number": 1}) == "up_for_retry"
    sent = trial.sends()
    assert sent == (moment != "after_intent")
    assert trial.run() == "success"
    assert trial.sends() == sent


# Schedules.


@pytest.mark.parametrize("on_unknown", ["fail", "skip", "resend"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_schedules_are_made_once(cell, ledger, on_unknown):
    trial = cell("schedule", ledger=ledger, on_unknown=on_unknown, lanes=1)
    kill_unanswered(trial, 4, SCHEDULE)
    doubt = trial.persons(trial.ledger()[1])
    if on_unknown == "fail":
        made = len(trial.emulator.schedules())
        assert trial.run() == "failed"
        assert f"{len(doubt)} recipients are in doubt" in trial.log()
        known = trial.station.pushed("schedule_ids")
        assert len(known) == len(trial.ledger()[0]) > 0
        assert known == [one["schedule_id"] for one in trial.emulator.schedules()][: len(known)]
        assert len(trial.emulator.schedules()) == made
        trial.clear()
    assert trial.run(on_unknown="skip" if on_unknown == "fail" else on_unknown) == "success"
    schedules = {one["schedule_id"]: scheduled_for(one) for one in trial.emulator.schedules()}
    planned = Counter(person for people in schedules.values() for person in people)
    report = trial.report
    assert set(report["schedule_ids"]) <= set(schedules)
    assert len(report["schedule_ids"]) == len(set(report["schedule_ids"]))
    named = {person for one in report["schedule_ids"] for person in schedules[one]}
    everybody = set(range(trial.people))
    if on_unknown == "resend":
        assert set(planned) == named == everybody
        assert {person for person, count in planned.items() if count > 1} <= doubt
    else:
        assert set(planned.values()) == {1}
        assert named == everybody - doubt
        assert report["unknown"] == len(doubt)


def scheduled_for(schedule):
    return [int(one["external_user_id"][1:]) for one in schedule["body"]["recipients"]]


# Mapped tasks.


@pytest.mark.parametrize("way_on", ["retry", "clear"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_one_of_several_mapped_tasks_is_killed(cell, ledger, way_on):
    trial = cell("mapped", ledger=ledger, on_unknown="reconcile", lanes=2, people=360)
    assert trial.station.schedule() == [0, 1, 2]
    proxy = trial.proxy(2, "unanswered", lambda: trial.signal("SIGKILL"))
    done = [trial.start(map_index=place, scheduled=True, witness=False) for place in (0, 2)]
    assert [trial.station.wait(worker) for worker in done] == [0, 0]
    assert trial.station.wait(trial.start(map_index=1, scheduled=True, proxy=proxy)) is not None
    assert [one["state"] for one in trial.station.states()] == ["success", "up_for_retry", "success"]
    if way_on == "clear":
        trial.clear()
    again = trial.station.schedule()
    assert again == ([1] if way_on == "retry" else [0, 1, 2])
    for place in again:
        trial.station.wait(trial.start(map_index=place, scheduled=True))
    assert {one["state"] for one in trial.station.states()} == {"success"}
    assert dict(trial.deliveries()) == once(trial)


# Transactional e-mails, which Braze knows by an id.


@pytest.mark.parametrize("way_on", ["retry", "clear"])
@pytest.mark.parametrize("ledger", [*LEDGERS, DEFAULT])
def test_an_email_is_killed(cell, ledger, way_on):
    trial = cell("email", ledger=ledger)
    kill_unanswered(trial, 1, EMAIL, witness=ledger != DEFAULT)
    assert trial.sends(EMAIL) == 1
    if way_on == "clear":
        trial.clear()
    assert trial.run(witness=ledger != DEFAULT) == "success"
    assert dict(trial.deliveries()) == {0: 1}


@pytest.mark.parametrize("moment", ["after_intent", "before_outcome", "after_outcome"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_an_email_is_sent_once(cell, ledger, moment):
    trial = cell("email", ledger=ledger)
    assert trial.run(kill={"at": moment, "number": 1}) == "up_for_retry"
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == {0: 1}


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
