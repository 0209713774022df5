"""A worker that lost its task and lives on: it sends nothing beyond what was durable before another one took over."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from crash_support import HAS_STORE, LEDGERS, POLICIES

MOMENTS = {"intents_claimed_ahead": ("after_intent", 4), "an_outcome_unwritten": ("before_outcome", 3)}


@pytest.fixture
def haunted(cell):
    """A task whose worker stands still and is taken for lost; gives it, its ledger, and what wakes the worker."""
    stopped = []

    def make(moment, policy, ledger, **wishes):
        trial = cell(ledger=ledger, on_unknown=policy, lanes=4, **wishes)
        at, number = MOMENTS[moment]
        worker = trial.start(kill={"at": at, "number": number, "how": "SIGSTOP"})
        wait_until(lambda: trial.pid and stands_still(trial.pid))
        zombie = trial.pid
        # Its supervisor, which would end it at the next heartbeat, stands still as well, as on a machine that hangs.
        os.kill(worker, signal.SIGSTOP)
        stopped.extend((zombie, worker))
        trial.settled()
        before = trial.ledger()
        trial.station.give_up()

        def wake():
            os.kill(zombie, signal.SIGCONT)
            os.kill(worker, signal.SIGCONT)
            assert trial.station.wait(worker) is not None
            trial.settled()

        return trial, before, wake

    yield make
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stands_still(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("ledger", LEDGERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_zombie_sends_only_what_was_begun(haunted, moment, ledger, on_unknown):
    trial, (_, doubt), wake = haunted(moment, on_unknown, ledger)
    begun = trial.persons(doubt)
    state = trial.run()
    assert state == ("failed" if on_unknown == "fail" else "success")
    between = trial.deliveries()
    sends = trial.sends()
    wake()
    after = trial.deliveries()
    assert {person for person in after if after[person] > between[person]} <= begun
    assert trial.sends() - sends <= len(doubt)
    assert set(after) | begun == set(range(trial.people)) or on_unknown == "fail"
    if on_unknown in ("fail", "skip"):
        assert set(after.values()) == {1}


@pytest.mark.parametrize("ledger", LEDGERS)
def test_a_zombie_that_wakes_first_is_shut_out(haunted, ledger):
    """Airflow has taken its task away; the second try has not begun yet."""
    trial, (_, doubt), wake = haunted("intents_claimed_ahead", "reconcile", ledger)
    wake()
    assert set(trial.deliveries().values()) == {1}
    if HAS_STORE and ledger == "task":
        assert trial.sends() <= 1 + len(doubt)
    assert trial.run() == "success"
    assert dict(trial.deliveries()) == dict.fromkeys(range(trial.people), 1)
