"""Subtler ways to message somebody twice: Braze asked too early, a ledger that was emptied, one key in several runs."""

from __future__ import annotations

from datetime import datetime

import pytest
from crash_support import HAS_STORE, LEDGERS, SEND

EXPORT = "/users/export/ids"
QUOTA_WAIT = 4.0
SETTLING = 8.0
# Seconds after its intent for which a request may leave, at the connection's timeout of 30 seconds.
LIVES = 260.0


@pytest.mark.parametrize("death", ["killed", "lost_answer"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_braze_gets_its_time_to_settle(cell, ledger, death):
    """A request may leave long after its intent, since it waited for the quota: its time counts from when it left."""
    trial = cell(ledger=ledger, on_unknown="reconcile", settling_time=SETTLING, max_quota_wait=60, people=100)
    trial.emulator.inject(
        "rate_limited", path=SEND, skip=1, times=1, retry_after=QUOTA_WAIT, header_style="retry_after"
    )
    if death == "killed":
        proxy = trial.proxy(3, "unanswered", lambda: trial.signal("SIGKILL"))
        assert trial.run(proxy=proxy) == "up_for_retry"
    else:
        # The proxy counts the 429 too.
        assert trial.run(proxy=trial.proxy(3, "unanswered")) == "success"
    trial.settled()
    assert set(trial.deliveries().values()) == {1}
    sends = [(one["status"], moment(one)) for one in trial.emulator.requests() if one["path"] == SEND]
    assert [status for status, _ in sends] == [201, 429, 201]
    first, refused, left = (at for _, at in sends)
    if death == "killed":
        # The worker might live: so it waits as long as that could send, which is shortened here, and then its time.
        assert trial.run(after=0) == "deferred"
        trial.station.resume()
        # The intent was written after the first request had come.
        assert trial.run(after=LIVES - (left - first)) == "success"
    asked = [moment(one) for one in trial.emulator.requests() if one["path"] == EXPORT]
    assert asked
    # It left after that wait, and by the worker's own clock before the emulator has seen it.
    assert min(asked) - refused >= QUOTA_WAIT + SETTLING - 0.5
    assert dict(trial.deliveries()) == dict.fromkeys(range(100), 1)


def moment(request):
    return datetime.fromisoformat(request["at"]).timestamp()


@pytest.mark.skipif(not HAS_STORE, reason="Airflow 3.1 has no task state")
def test_a_state_that_was_emptied_proves_nothing(cell):
    """Such as by [state_store] clear_on_success, or by a person: then a clear must not message everybody again."""
    trial = cell(ledger="none", on_unknown="fail", people=100)
    assert trial.run(witness=False) == "success"
    trial.station.query(
        "DELETE FROM task_state_store WHERE dag_id = %(dag)s AND run_id = %(run)s",
        dag="crash_campaign",
        run=trial.run_id,
    )
    trial.clear()
    state = trial.run(witness=False)
    assert dict(trial.deliveries()) == dict.fromkeys(range(100), 1)
    assert state == "failed"


@pytest.mark.parametrize("on_unknown", ["fail", "skip", "reconcile"])
def test_a_key_that_another_run_left_in_doubt(cell, on_unknown, request):
    """The run that died is never tried again; the next one with its key finishes the delivery."""
    key = request.node.name
    first = cell(ledger="sql", on_unknown=on_unknown, delivery_key=key, lanes=4)
    assert first.run(kill={"at": "before_outcome", "number": 4}) == "up_for_retry"
    first.settled()
    doubt = first.persons(first.ledger()[1])
    before = first.deliveries()
    assert doubt
    # As if it had been some minutes ago: until then they may be under way.
    first.station.query(
        "UPDATE braze_ledger_requests SET left_by = left_by - 600 WHERE task = %(task)s",
        "ledger",
        task=f"crash_campaign/{first.run_id}/send/-1",
    )
    second = cell(ledger="sql", on_unknown=on_unknown, delivery_key=key, lanes=4)
    state = second.run()
    after = second.deliveries()
    assert set(after.values()) == {1}
    if on_unknown == "fail":
        assert state == "failed"
        assert "recipients are in doubt" in second.log()
        second.clear()
        state = second.run(on_unknown="reconcile")
        after = second.deliveries()
    assert state == "success"
    if on_unknown == "skip":
        assert set(range(365)) - set(after) == doubt - set(before)
    else:
        assert dict(after) == dict.fromkeys(range(365), 1)


def test_two_runs_with_one_key_at_once(cell, request):
    """Each sends what the other does not; what one has under way the other waits for."""
    key = request.node.name
    one = cell(ledger="sql", on_unknown="reconcile", delivery_key=key, lanes=2)
    other = cell(ledger="sql", on_unknown="reconcile", delivery_key=key, lanes=2)
    one.emulator.inject("slow", path=SEND, times=None, seconds=0.2)
    workers = one.start(), other.start()
    assert [trial.station.wait(worker) for trial, worker in zip((one, other), workers, strict=True)] == [0, 0]
    assert (one.state, other.state) == ("success", "success")
    assert dict(one.deliveries()) == dict.fromkeys(range(365), 1)
    assert one.report["accepted"] == other.report["accepted"] == 365
    assert one.report["accepted_before"] + other.report["accepted_before"] == 365
