"""The crash matrix: a real task in a process of its own dies at each moment of a delivery, and is run again.

The emulator's count per recipient decides: never two messages with "fail", "skip" and "reconcile"; nobody forgotten
with "resend" and "reconcile"; and with "fail" the doubt is named exactly.
"""

from __future__ import annotations

import re

import pytest
from crash_support import BATCH, LEDGERS, POLICIES, SEND

# Where the task dies: by the ledger's writes (which one), or by the proxy at its fourth request.
MOMENTS = {
    "before_the_first_intent": ("before_intent", 1),
    "after_the_first_intent": ("after_intent", 1),
    "before_an_intent": ("before_intent", 4),
    "after_an_intent": ("after_intent", 4),
    "half_sent": ("half_sent", 4),
    "accepted_unanswered": ("unanswered", 4),
    "answered_unrecorded": ("before_outcome", 4),
    "recorded": ("after_outcome", 4),
    "last_recorded": ("after_outcome", 8),
}
WAYS_ON = ["retry", "clear"]


def die(cell, how, moment):
    """Run a try that dies at a moment."""
    where, number = MOMENTS[moment]
    if where in ("half_sent", "unanswered"):
        signals = {"timeout": "SIGALRM"}
        proxy = cell.proxy(number, where, lambda: cell.signal(signals.get(how, how)))
        state = cell.run(proxy=proxy, execution_timeout=600)
        assert proxy.struck.wait(60)
    else:
        state = cell.run(kill={"at": where, "number": number, "how": how}, execution_timeout=600)
    cell.settled()
    return state


def check_ledger(cell):
    """Hold what the ledger knows against what Braze has seen; gives how many requests and people are in doubt."""
    accepted, doubt = cell.ledger()
    must, may = cell.witnessed()
    assert must <= len(doubt) <= may
    delivered = cell.deliveries()
    assert set(delivered.values()) <= {1}
    assert cell.persons(accepted) <= set(delivered) <= cell.persons(accepted | doubt)
    return len(doubt), len(cell.persons(doubt))


def counts(text):
    """Read the counts of a report out of a log line."""
    return {name: int(count.replace(",", "")) for count, name in re.findall(r"([\d,]+) ([a-z][a-z A-Z]+?)[,).]", text)}


def go_on(cell, requests, people):
    """Run the task again, to the story's end, and hold it against what was promised."""
    before = cell.deliveries()
    in_doubt = cell.persons(cell.ledger()[1])
    everybody = set(range(cell.people))
    policy = cell.wishes["on_unknown"]
    if policy == "fail" and requests:
        sent = cell.sends()
        assert cell.run() == "failed"
        check_named(cell, requests, people, len(before))
        assert (cell.sends(), cell.deliveries()) == (sent, before)
        cell.clear()
        policy = cell.wishes["on_unknown"] = "reconcile"
    assert cell.run_on() == "success"
    after, report = cell.deliveries(), cell.report
    assert report["recipients"] == cell.people == report["accepted"] + report["unknown"]
    assert not set(after) - everybody
    if policy == "skip":
        assert set(after.values()) == {1}
        assert report["unknown"] == people
        assert everybody - set(after) == in_doubt - set(before)
    elif policy == "resend":
        assert set(after) == everybody
        assert {person for person, count in after.items() if count > 1} == in_doubt & set(before)
        assert max(after.values()) <= 2
        assert report["unknown"] == 0
    else:
        assert dict(after) == dict.fromkeys(everybody, 1)
        assert report["unknown"] == 0


def check_named(cell, requests, people, delivered):
    """The doubt is named exactly, everybody else is accounted for, and the log says what to do."""
    log = cell.log()
    said, said_requests = re.findall(r"([\d,]+) recipients are in doubt \(([\d,]+) requests?\)", log)[-1]
    assert (int(said), int(said_requests)) == (people, requests)
    assert "set on_unknown to 'skip'" in log
    assert "clear this task" in log
    summary = re.findall(r"Not everybody got through \((.*?)\)\.", log)[-1]
    numbers = counts(summary + ",")
    assert numbers["in doubt"] == people
    accepted = numbers.get("accepted", 0)
    assert accepted + people + numbers.get("not attempted", 0) == numbers["recipients read"] == cell.people
    assert accepted <= delivered <= accepted + people


@pytest.mark.parametrize("way_on", WAYS_ON)
@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed(cell, moment, ledger, on_unknown, way_on):
    # A retry has one lane, a clear four: several requests are under way then.
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=1 if way_on == "retry" else 4)
    assert die(trial, "SIGKILL", moment) == "up_for_retry"
    requests, people = check_ledger(trial)
    if way_on == "clear":
        trial.clear()
    go_on(trial, requests, people)


@pytest.mark.parametrize("way_on", WAYS_ON)
@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("how", ["SIGTERM", "timeout"])
def test_told_to_stop(cell, how, moment, *, ledger, on_unknown, way_on):
    """A task that is told to stop finishes what is under way, so that hardly anything is in doubt; then it goes on."""
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=4)
    state = die(trial, how, moment)
    requests, people = check_ledger(trial)
    if moment not in ("half_sent", "accepted_unanswered"):
        assert not requests, "nothing was lost, so nothing is in doubt"
    # The proxy lets go of the connection after the signal, so that its request is in doubt.
    if requests and on_unknown == "fail" and how == "SIGTERM":
        assert state == "failed"
    elif state == "success":
        # It came too late to stop anything.
        assert len(trial.deliveries()) + trial.report["unknown"] >= trial.people
        return
    else:
        assert state == "up_for_retry", "the ledger knows who got it: Airflow may go on by itself"
    if state == "failed" or way_on == "clear":
        trial.clear()
    go_on(trial, requests, people)


FAULTS = {
    "dropped_before_acceptance": {"kind": "drop_before_acceptance"},
    "dropped_after_acceptance": {"kind": "drop_after_acceptance"},
    "garbage": {"kind": "garbage_201"},
    "empty": {"kind": "empty_201"},
    "gateway_timeout": {"kind": "server_error", "status": 504},
    "too_late": {"kind": "slow", "seconds": 60.0},
    "half_sent": None,
}


@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_answer_lost(cell, fault, ledger, on_unknown):
    """The connection or the answer is lost; the task lives on, and its policy decides at once."""
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=4 if fault in ("garbage", "half_sent") else 1)
    if wanted := FAULTS[fault]:
        trial.emulator.inject(path=SEND, skip=3, **wanted)
    # The other answers must come within it, even where the machine stands still for a moment.
    impatient = {"timeout": 4} if fault == "too_late" else {}
    state = trial.run(proxy=None if wanted else trial.proxy(4, "half_sent"), **impatient)
    trial.settled()
    delivered = trial.deliveries()
    everybody = set(range(trial.people))
    if on_unknown == "fail":
        assert state == "failed"
        requests, people = check_ledger(trial)
        assert requests == 1
        check_named(trial, requests, people, len(delivered))
        trial.clear()
        go_on(trial, requests, people)
        return
    assert state == "success"
    report = trial.report
    assert report["accepted"] + report["unknown"] == trial.people
    if on_unknown == "skip":
        assert set(delivered.values()) == {1}
        assert report["unknown"] == BATCH
        assert len(everybody - set(delivered)) in (0, BATCH)
    elif on_unknown == "resend":
        assert set(delivered) == everybody
        assert sum(count > 1 for count in delivered.values()) in (0, BATCH)
    else:
        assert dict(delivered) == dict.fromkeys(everybody, 1)


@pytest.mark.usefixtures("early_in_the_hour")
@pytest.mark.parametrize("way_on", ["resumed", "resumed_and_killed", "trigger_lost", "cleared"])
@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("ledger", LEDGERS)
def test_during_a_deferral(cell, ledger, on_unknown, way_on):
    """The quota is used up, the task frees its worker; what happens meanwhile is forgotten by nobody."""
    # So small a quota is spread over the hour, from the first request on.
    trial = cell(ledger=ledger, on_unknown=on_unknown, lanes=2, seed={"rate_limits": {"default_hourly": 14}})
    assert trial.run() == "deferred"
    assert 0 < len(trial.deliveries()) < trial.people
    assert "frees its worker" in trial.log()
    interrupt_deferral(trial, way_on)


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_429_defers(cell, ledger):
    """Braze refuses for ten minutes, which is longer than the worker is to wait."""
    trial = cell(ledger=ledger, on_unknown="fail", lanes=2)
    trial.emulator.inject("rate_limited", path=SEND, skip=3, times=2, retry_after=600.0, header_style="retry_after")
    assert trial.run() == "deferred"
    assert "frees its worker" in trial.log()
    trial.emulator.clear_faults()
    interrupt_deferral(trial, "resumed")


def interrupt_deferral(trial, way_on):
    requests, people = check_ledger(trial)
    assert not requests, "what was not sent is not in doubt"
    trial.next_hour()
    if way_on == "cleared":
        trial.clear()
    else:
        trial.station.resume(failed=way_on == "trigger_lost")
    if way_on == "resumed_and_killed":
        assert trial.run(kill={"at": "before_outcome", "number": 2}) == "up_for_retry"
        requests, people = check_ledger(trial)
        assert requests
    elif way_on == "trigger_lost":
        assert trial.run() == "up_for_retry"
    go_on(trial, requests, people)
