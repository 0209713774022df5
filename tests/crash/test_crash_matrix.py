"""The crash matrix: a real task in a process of its own dies at each moment of a delivery, and is run again.

The emulator's count per recipient decides: never two messages with "fail", "skip" and "reconcile"; nobody forgotten
with "resend" and "reconcile"; and with "fail" the doubt is named exactly.
"""

from __future__ import annotations

import re

import pytest

from crash_support import LEDGERS, POLICIES

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
        assert proxy.struck.is_set()
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
    assert cell.run() == "success"
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
    [(said, said_requests)] = set(re.findall(r"([\d,]+) recipients are in doubt \(([\d,]+) requests?\)", log))
    assert (int(said), int(said_requests)) == (people, requests)
    assert "set on_unknown to 'skip'" in log
    assert "clear this task" in log
    [summary] = set(re.findall(r"Not everybody got through \((.*?)\)\.", log))
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
