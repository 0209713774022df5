"""SqlLedger on a real PostgreSQL and on real SQLite files."""

import copy
import json
import pickle
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from ledger_support import (
    CONN_ID,
    TABLES,
    LossyProxy,
    broadcast,
    claim,
    open_ledger,
    places,
    request_to,
    requests_to,
    said,
    settle,
)
from sqlalchemy import create_engine

from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.delivery import sql_store
from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Intent, Settlement
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.delivery.sql_store import check_engine

ABC = ["ann", "ben", "cleo"]
FREEING = [Outcome.NOT_SENT, Outcome.FAILED, Outcome.REFUSED]
either = pytest.mark.usefixtures("database")


def states(database):
    return sorted(database.execute("SELECT state, recipients FROM braze_ledger_requests"))


def count_recipients(database):
    return database.execute("SELECT COUNT(*) FROM braze_ledger_recipients")[0][0]


# One task, try after try


def test_what_was_accepted_is_never_free_again(database):
    with open_ledger() as first:
        assert first.past.began is None
        claimed = claim(first, ABC)
        assert places(claimed) == said(free=[0, 1, 2])
        settle(first, claimed, dispatch_id="d1")
        assert places(claim(first, ABC)) == said(accepted=3)
    with open_ledger() as second:
        past = second.past
        assert (past.accepted, past.accepted_requests, past.doubtful_requests, past.doubtful) == (3, 1, 0, 0)
        assert past.dispatch_ids == ["d1"]
        assert abs(datetime.fromisoformat(past.began).timestamp() - time.time()) < 60
        answer = claim(second, ABC)
    assert places(answer) == said(accepted=3)
    assert answer.ticket is None
    assert states(database) == [("accepted", 3)]


@pytest.mark.parametrize("outcome", FREEING)
def test_what_was_not_sent_is_free_again(database, outcome):
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC), outcome)
        assert (states(database), count_recipients(database)) == ([], 0)
        assert places(claim(ledger, ABC)) == said(free=[0, 1, 2])


def test_an_outcome_that_is_unknown_is_a_doubt(database):
    with open_ledger() as ledger:
        before = time.time()
        settle(ledger, claim(ledger, ABC), Outcome.UNKNOWN)
        assert states(database) == [("unknown", 3)]
        answer = claim(ledger, ABC)
    assert places(answer) == said(doubt=[0, 1, 2])
    assert answer.since == pytest.approx(before, abs=30)
    with open_ledger() as second:
        assert (second.past.doubtful_requests, second.past.doubtful) == (1, 3)


def test_the_intents_of_an_earlier_try_are_doubts(database):
    with open_ledger() as first:
        claim(first, ABC)
        assert places(claim(first, ABC)) == said(held=[0, 1, 2])
    with open_ledger() as second:
        assert (second.past.doubtful_requests, second.past.doubtful) == (1, 3)
        assert states(database) == [("unknown", 3)]
        assert places(claim(second, ABC)) == said(doubt=[0, 1, 2])


@either
def test_a_doubt_may_still_be_settled_by_who_has_it():
    with open_ledger() as ledger:
        claimed = claim(ledger, ABC)
        settle(ledger, claimed, Outcome.UNKNOWN)
        settle(ledger, claimed)
        settle(ledger, claimed, Outcome.NOT_SENT)
        assert places(claim(ledger, ABC)) == said(accepted=3)


@either
def test_another_order_and_other_requests_change_nothing():
    with open_ledger() as first:
        settle(first, claim(first, ["ann", "ben"]))
        settle(first, claim(first, ["cleo"]), Outcome.UNKNOWN)
        claimed = claim(first, ["dan"])
        answer = claim(first, ["eve", "cleo", "dan", "ben", "fay"])
        assert places(answer) == said(free=[0, 4], accepted=1, doubt=[1], held=[2])
        assert answer.ticket is not None
        settle(first, claimed)
        assert places(claim(first, ["fay", "dan"])) == said(accepted=1, held=[0])


@either
def test_several_intents_and_settlements_go_in_one_write():
    with open_ledger() as ledger:
        answers = ledger.write([Intent(request_to([name])) for name in ABC], [])
        assert [places(answer) for answer in answers] == [said(free=[0])] * 3
        outcomes = (Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.NOT_SENT)
        settlements = [Settlement(answer.ticket, outcome) for answer, outcome in zip(answers, outcomes, strict=True)]
        again = ledger.write([Intent(request_to([name])) for name in ABC], settlements)
        assert [places(answer) for answer in again] == [said(accepted=1), said(doubt=[0]), said(free=[0])]
        assert ledger.write([], []) == []


@either
def test_one_person_in_two_requests_of_a_write_is_claimed_once():
    with open_ledger() as ledger:
        answers = ledger.write([Intent(request_to(["ann", "ben"])), Intent(request_to(["ben", "cleo"]))], [])
    found = [places(answer) for answer in answers]
    assert sum(len(answer["free"]) for answer in found) == 3
    assert sum(len(answer["held"]) for answer in found) == 1


@either
def test_refused_recipients_count_where_their_whole_request_is_met_again():
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC), refused=2)
        assert places(claim(ledger, ABC)) == said(accepted=1, refused=2)
        assert places(claim(ledger, [*ABC, "dan"])) == said(free=[3], accepted=1, refused=2)
    with open_ledger() as second:
        assert second.past.accepted == 1


@either
def test_refused_recipients_of_another_task_are_told_as_such():
    with open_ledger(delivery_key="k") as first:
        settle(first, claim(first, ABC), refused=1)
        assert first.past.refused == 0
    for other in ({"run_id": "run_2"}, {"task_id": "other"}, {"map_index": 0}):
        with open_ledger(delivery_key="k", **other) as later:
            answer = claim(later, [*ABC, "dan"])
            assert places(answer) == said(free=[3], accepted=2)
            assert answer.refused_elsewhere == 1
            settle(later, answer, Outcome.NOT_SENT)
            assert later.past.refused == 0
    with open_ledger(delivery_key="k") as again:
        assert places(claim(again, ABC)) == said(accepted=2, refused=1)
        assert again.past.refused == 1


@either
def test_refused_recipients_count_in_whatever_requests_they_are_met_again():
    """Otherwise a retry whose audience comes in another order would take them for accepted, and succeed."""
    people = [f"user-{number}" for number in range(50)]
    with open_ledger() as first:
        settle(first, claim(first, people), refused=3)
    for seed in range(5):
        shuffled = random.Random(seed).sample(people, 50)
        with open_ledger() as again:
            found = [claim(again, [*shuffled[start : start + 8], f"new-{seed}-{start}"]) for start in range(0, 50, 8)]
            assert sum(claimed.refused for claimed in found) == 3
            assert sum(claimed.accepted for claimed in found) == 47
    with open_ledger() as fewer:
        assert places(claim(fewer, people[:48])) == said(accepted=47, refused=1), "two may be among the others"


@either
def test_ids_come_in_the_order_of_the_plan():
    requests = requests_to(range(150))
    with open_ledger() as first:
        answers = first.write([Intent(request) for request in reversed(requests)], [])
        for number, answer in enumerate(answers):
            settle(first, answer, schedule_id=f"s{number}", dispatch_id=f"d{number}")
    with open_ledger() as second:
        assert second.past.schedule_ids == ["s2", "s1", "s0"]
        assert second.past.dispatch_ids == ["d2", "d1", "d0"]
    with open_ledger(task_id="other", delivery_key="k") as other:
        assert (other.past.schedule_ids, other.past.dispatch_ids) == ([], [])


# Doubts taken over


def test_a_doubt_that_is_taken_is_free_and_keeps_its_time(database):
    with open_ledger() as first:
        claim(first, ABC)
    database.execute("UPDATE braze_ledger_requests SET first_intent_at = 1000.5")
    with open_ledger() as second:
        assert claim(second, ABC).since == 1000.5
        answer = claim(second, ABC, take_doubt=True)
        assert places(answer) == said(free=[0, 1, 2])
        assert answer.since == 1000.5
        assert states(database) == [("intent", 3)]
        settle(second, answer)
        assert places(claim(second, ABC, take_doubt=True)) == said(accepted=3)
    with open_ledger() as third:
        assert third.past.began.startswith("1970-01-01T00:16:40")
    assert count_recipients(database) == 3


@pytest.mark.parametrize("outcome", FREEING)
def test_a_taken_doubt_that_was_not_sent_is_in_doubt_again(database, outcome):
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC), Outcome.UNKNOWN)
        database.execute("UPDATE braze_ledger_requests SET first_intent_at = 1000.5")
        answer = claim(ledger, ["new", "cleo", "ann", "other"], take_doubt=True)
        assert places(answer) == said(free=[0, 1, 2, 3])
        assert states(database) == [("intent", 4), ("unknown", 1)]
        settle(ledger, answer, outcome)
        settle(ledger, answer, outcome)
        assert states(database) == [("unknown", 1), ("unknown", 2)]
        again = claim(ledger, ["new", "cleo", "ann", "other"])
        assert places(again) == said(free=[0, 3], doubt=[1, 2])
        assert again.since == 1000.5
        assert places(claim(ledger, ["ann", "cleo"], take_doubt=True)) == said(free=[0, 1])


@either
def test_a_crash_after_a_doubt_was_taken_leaves_a_doubt():
    with open_ledger() as first:
        claim(first, ABC)
    with open_ledger() as second:
        claim(second, ABC, take_doubt=True)
    with open_ledger() as third:
        assert (third.past.doubtful_requests, third.past.doubtful) == (1, 3)
        assert places(claim(third, ABC)) == said(doubt=[0, 1, 2])


@either
def test_doubts_of_several_requests_are_taken_into_one_from_the_oldest_on():
    with open_ledger() as first:
        claim(first, ["ann"])
        time.sleep(0.05)
        claim(first, ["ben"])
    with open_ledger() as second:
        oldest = claim(second, ["ann"]).since
        assert claim(second, ["ben"]).since > oldest
        assert claim(second, ["ben", "ann"], take_doubt=True).since == oldest
        assert second.past.doubtful_requests == 2


@either
def test_only_one_of_many_workers_takes_a_doubt():
    people = [f"user-{number}" for number in range(50)]
    with open_ledger(delivery_key="k", task_id="lost") as lost:
        settle(lost, claim(lost, people), Outcome.UNKNOWN)
    workers = [open_ledger(delivery_key="k", task_id=f"task-{number}") for number in range(4)]

    def take(worker, seed):
        shuffled = random.Random(seed).sample(people, 40)
        parts = [shuffled[start : start + 5] for start in range(0, 40, 5)]
        return [part[place] for part in parts for place in claim(worker, part, take_doubt=True).free]

    with ThreadPoolExecutor(4) as threads:
        taken = [name for names in threads.map(take, workers, range(4)) for name in names]
    assert set(Counter(taken).values()) == {1}
    for worker in workers:
        worker.close()


# Other tasks


@either
def test_a_delivery_key_reaches_everybody_once_over_runs():
    with (
        open_ledger(delivery_key="spring", run_id="run_1") as one,
        open_ledger(delivery_key="spring", run_id="run_2", dag_id="other") as two,
    ):
        settle(one, claim(one, ABC))
        assert places(claim(two, ["dan", *ABC])) == said(free=[0], accepted=3)
        assert two.past.accepted == 0


@either
def test_without_a_delivery_key_each_task_instance_is_its_own_delivery():
    with open_ledger() as one:
        settle(one, claim(one, ABC))
    others = [{"run_id": "run_2"}, {"task_id": "other"}, {"map_index": 3}]
    others.append({"run_id": "run_3", "delivery_key": "winback/run_1/send/-1"})
    for other in others:
        with open_ledger(**other) as ledger:
            assert places(claim(ledger, ABC)) == said(free=[0, 1, 2])


@either
def test_another_task_holds_its_intents_until_they_are_old():
    """How old, says the one whose intents they are: the timeouts of connections differ."""
    with (
        open_ledger(delivery_key="k", task_id="young", doubt_after=90) as young,
        open_ledger(delivery_key="k", task_id="old", doubt_after=-60) as old,
        open_ledger(delivery_key="k", task_id="two", doubt_after=-60) as two,
    ):
        claim(young, ABC)
        assert places(claim(two, ABC)) == said(held=[0, 1, 2])
        assert places(claim(two, ABC, take_doubt=True)) == said(held=[0, 1, 2])
        claim(old, ["dan", "eve"])
        assert places(claim(two, ["dan", "eve"])) == said(doubt=[0, 1])
        taken = claim(two, ["dan"], take_doubt=True)
        assert places(taken) == said(free=[0])
        settle(two, taken, Outcome.UNKNOWN)
        assert (two.past.doubtful_requests, two.past.doubtful) == (0, 0)
    with open_ledger(delivery_key="k", task_id="old") as old:
        assert old.past.doubtful == 1


@either
def test_by_when_a_request_had_left_is_for_its_worker_to_say_and_kept_with_the_doubt():
    """Else Braze would be asked too early, by a try whose connection has a shorter timeout."""
    left_by = pytest.approx(time.time() + 2000, abs=60)
    with open_ledger(doubt_after=2000) as lost:
        claim(lost, ABC)
    with open_ledger() as second:
        assert claim(second, ABC).left_by == left_by
        claim(second, ABC, take_doubt=True)
    for outcome in (Outcome.NOT_SENT, Outcome.UNKNOWN):
        with open_ledger() as again:
            assert claim(again, ABC).left_by == left_by, "the try before ended with the doubt in its hands"
            settle(again, claim(again, ["ann", "dan"], take_doubt=True), outcome)
    with open_ledger() as last:
        assert claim(last, ABC).left_by == left_by
        settle(last, claim(last, ["eve"]), Outcome.UNKNOWN)
        assert claim(last, ["eve"]).left_by == pytest.approx(time.time(), abs=60)


def test_a_worker_whose_recipients_were_taken_settles_the_rest_only(database):
    with (
        open_ledger(delivery_key="k", task_id="one", doubt_after=-60) as one,
        open_ledger(delivery_key="k", task_id="two") as two,
    ):
        slow = claim(one, ABC)
        taken = claim(two, ["ben"], take_doubt=True)
        settle(one, slow, Outcome.NOT_SENT)
        assert states(database) == [("intent", 1)]
        settle(two, taken)
        assert places(claim(one, ABC)) == said(free=[0, 2], accepted=1)


def test_workers_with_overlapping_audiences_claim_everybody_exactly_once(database):
    before = database.count_deadlocks()
    deliver_side_by_side()
    assert database.count_deadlocks() == before


def deliver_side_by_side():
    everybody = [f"user-{number}" for number in range(600)]
    workers = [open_ledger(delivery_key="k", task_id=f"task-{number}") for number in range(4)]

    def deliver(worker, seed):
        dice = random.Random(seed)
        left = dice.sample(everybody, 450)
        sent, waiting = [], []
        while left:
            parts = [[left.pop() for _ in range(min(dice.randint(1, 20), len(left)))] for _ in range(3) if left]
            answers = worker.write([Intent(request_to(part)) for part in parts], waiting)
            waiting = []
            for part, answer in zip(parts, answers, strict=True):
                left[:0] = [part[place] for place in answer.held if dice.random() < 0.5]
                if answer.ticket is None:
                    continue
                fails = dice.random() < 0.2
                names = [part[place] for place in answer.free]
                waiting.append(Settlement(answer.ticket, Outcome.NOT_SENT if fails else Outcome.ACCEPTED))
                if fails:
                    left[:0] = names
                else:
                    sent += names
        worker.write([], waiting)
        return sent

    with ThreadPoolExecutor(4) as threads:
        sent = [name for names in threads.map(deliver, workers, range(4)) for name in names]
    assert set(Counter(sent).values()) == {1}
    found = claim(workers[0], sent[:50])
    assert places(found) == said(accepted=50)
    for worker in workers:
        worker.close()
    assert len(sent) > 450


# Workers that were lost


def test_a_later_try_shuts_the_earlier_one_out(database):
    first = open_ledger()
    accepted, unsent, unknown = claim(first, ["ann"]), claim(first, ["ben"]), claim(first, ["cleo"])
    second = open_ledger()
    assert second.past.doubtful == 3
    with pytest.raises(BrazeLedgerError, match="Another try of this task has taken over"):
        first.write([Intent(request_to(["dan"]))], [Settlement(accepted.ticket, Outcome.ACCEPTED)])
    settle(first, unsent, Outcome.NOT_SENT)
    settle(first, unknown, Outcome.UNKNOWN)
    with pytest.raises(BrazeLedgerError, match="Another try of this task has taken over"):
        claim(first, ["dan"])
    assert places(claim(second, [*ABC, "dan"])) == said(free=[1, 3], accepted=1, doubt=[2])
    assert states(database) == [("accepted", 1), ("intent", 2), ("unknown", 1)]
    first.close()
    second.close()


@either
def test_what_the_later_try_took_is_out_of_the_earlier_ones_reach():
    first = open_ledger()
    stale = claim(first, ABC)
    with open_ledger() as second:
        taken = claim(second, ABC, take_doubt=True)
        settle(first, stale, Outcome.NOT_SENT)
        assert places(claim(second, ABC)) == said(held=[0, 1, 2])
        settle(second, taken, Outcome.UNKNOWN)
        settle(first, stale)
        assert places(claim(second, ABC)) == said(doubt=[0, 1, 2])
    first.close()


def test_a_later_try_waits_for_a_write_that_is_under_way(postgres_ledger):
    first = open_ledger()
    claim(first, ["zoe"])
    blocker = postgres_ledger.server.connect(postgres_ledger.name)
    blocker.autocommit = False
    cursor = blocker.cursor()
    # A writer of its own that has claimed ben and not committed yet.
    (person,) = requests_to(["ben"])
    hashed = first._hashes(person)[0]
    cursor.execute("INSERT INTO braze_ledger_recipients SELECT delivery, %s, 1 FROM braze_ledger_recipients", (hashed,))
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(claim, first, ["ann", "ben"])
        wait_for_lock(postgres_ledger, 1)
        opening = threads.submit(open_ledger)
        wait_for_lock(postgres_ledger, 2)
        assert not opening.done()
        blocker.rollback()
        assert places(writing.result(60)) == said(free=[0, 1])
        second = opening.result(60)
    assert second.past.doubtful == 3
    assert places(claim(second, ["ann", "ben"])) == said(doubt=[0, 1])
    blocker.close()
    first.close()
    second.close()


def wait_for_lock(database, waiting):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if database.execute("SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")[0][0] == waiting:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


def test_a_lost_connection_is_made_anew(postgres_ledger):
    with open_ledger() as ledger:
        claimed = claim(ledger, ["ann"])
        for name in ("ben", "cleo"):
            postgres_ledger.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert places(claim(ledger, [name])) == said(free=[0])
        settle(ledger, claimed)
        assert states(postgres_ledger) == [("accepted", 1), ("intent", 1), ("intent", 1)]


@pytest.fixture
def proxy(postgres_ledger, monkeypatch):
    """The ledger's database behind a proxy that can lose the answer to a COMMIT."""
    proxy = LossyProxy(postgres_ledger.server.port)
    connection = json.loads(postgres_ledger.connection_json()) | {"port": proxy.port}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
    yield proxy
    proxy.close()


def test_a_write_whose_commit_got_through_unheard_finds_its_own_rows(postgres_ledger, proxy):
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC), Outcome.UNKNOWN)
        postgres_ledger.execute("UPDATE braze_ledger_requests SET first_intent_at = 1000.5")
        proxy.lose_commits = 1
        answer = claim(ledger, ["ann", "new"], take_doubt=True)
        assert proxy.lose_commits == 0
        assert places(answer) == said(free=[0, 1])
        assert answer.since == 1000.5
        assert states(postgres_ledger) == [("intent", 2), ("unknown", 2)]
        proxy.lose_commits = 1
        settle(ledger, answer, Outcome.NOT_SENT)
        assert states(postgres_ledger) == [("unknown", 1), ("unknown", 2)]
        proxy.lose_commits = 1
        assert places(claim(ledger, ["ann", "new"])) == said(free=[1], doubt=[0])
        assert count_recipients(postgres_ledger) == 4


def test_a_clear_is_seen_though_the_commit_of_open_got_through_unheard(proxy):
    open_ledger().close()
    proxy.lose_commits = 1
    with open_ledger(max_tries=1, forget_on_clear=True) as ledger:
        assert proxy.lose_commits == 0
        assert ledger.past.cleared


def test_a_database_that_stays_away_is_an_error_and_not_a_wait_for_ever(proxy, monkeypatch):
    with open_ledger() as ledger:
        monkeypatch.setattr(sql_store, "PATIENCE", 1.0)
        proxy.lose_commits = 100
        with pytest.raises(BrazeLedgerError, match=f"The ledger on '{CONN_ID}' cannot be used"):
            claim(ledger, ABC)
        proxy.lose_commits = 0
        # Its intent may have got through, so it stays.
        assert places(claim(ledger, ABC)) == said(held=[0, 1, 2])


def test_a_database_that_starts_anew_is_waited_for(proxy):
    """That many lost answers take longer than the five attempts of a first time."""
    with open_ledger() as ledger:
        claimed = claim(ledger, ABC)
        proxy.lose_commits = 7
        settle(ledger, claimed)
        assert places(claim(ledger, ABC)) == said(accepted=3)


def test_a_task_that_is_to_stop_waits_no_longer_than_the_first_time(proxy, monkeypatch):
    monkeypatch.setattr(sql_store, "PATIENCE", 3600.0)
    with open_ledger() as ledger:
        claim(ledger, ABC)
        ledger.hurry()
        proxy.lose_commits = 100
        with pytest.raises(BrazeLedgerError, match="cannot be used"):
            claim(ledger, ["dan"])


def test_people_whose_request_is_gone_are_an_error_and_the_outcomes_beside_them_are_kept(database):
    """As after a job that deletes old requests only: nobody would ever say what became of these people."""
    with open_ledger(delivery_key="k") as first:
        settle(first, claim(first, ABC))
    database.execute("DELETE FROM braze_ledger_requests")
    with open_ledger(delivery_key="k", run_id="run_2") as later:
        claimed = claim(later, ["dan"])
        wishes = [Intent(request_to(["eve", *ABC]))]
        with pytest.raises(BrazeLedgerError, match=r"knows 3 of these .* from braze_ledger_recipients too") as caught:
            later.write(wishes, [Settlement(claimed.ticket, Outcome.ACCEPTED)])
        assert caught.value.settled
        assert (states(database), count_recipients(database)) == ([("accepted", 1)], 4)
        gone = "SELECT 1 FROM braze_ledger_requests AS r WHERE r.id = request"
        database.execute(f"DELETE FROM braze_ledger_recipients WHERE NOT EXISTS ({gone})")
        (answer,) = later.write(wishes, [])
        assert places(answer) == said(free=[0, 1, 2, 3])


# Clearing


@either
def test_a_clear_resumes_unless_it_is_to_forget():
    with open_ledger(max_tries=2) as first:
        settle(first, claim(first, ABC))
        assert not first.past.cleared
    with open_ledger(max_tries=2) as retry:
        assert not retry.past.cleared
    with open_ledger(max_tries=3) as cleared:
        assert cleared.past.cleared
        assert cleared.past.accepted == 3
        assert places(claim(cleared, ABC)) == said(accepted=3)
    with open_ledger(max_tries=3) as retry:
        assert not retry.past.cleared


@either
@pytest.mark.parametrize("key", [None, "spring"])
def test_a_clear_that_forgets_begins_anew(key):
    task = {"delivery_key": key, "forget_on_clear": True}
    with open_ledger(max_tries=2, **task) as first:
        settle(first, claim(first, ABC))
    with open_ledger(max_tries=2, **task) as retry:
        assert places(claim(retry, ABC)) == said(accepted=3)
    with open_ledger(max_tries=3, **task) as cleared:
        assert cleared.past.cleared
        assert (cleared.past.began, cleared.past.accepted) == (None, 0)
        claim(cleared, ["ann"])
        settle(cleared, claim(cleared, ["ben", "cleo"]))
    with open_ledger(max_tries=3, **task) as retry:
        assert places(claim(retry, ABC)) == said(accepted=2, doubt=[0])
    with open_ledger(max_tries=5, **task) as again:
        assert places(claim(again, ABC)) == said(free=[0, 1, 2])


@either
def test_tasks_that_share_a_key_share_it_after_a_clear_of_their_run_and_no_other_run():
    task = {"delivery_key": "spring", "forget_on_clear": True}
    for run_id, max_tries, expected in (
        ("run_1", 0, [said(free=[0, 1, 2]), said(accepted=3)]),
        ("run_2", 0, [said(accepted=3), said(accepted=3)]),
        ("run_1", 1, [said(free=[0, 1, 2]), said(accepted=3)]),
        ("run_2", 1, [said(free=[0, 1, 2]), said(accepted=3)]),
    ):
        for task_id, answer in zip(("one", "two"), expected, strict=True):
            with open_ledger(run_id=run_id, task_id=task_id, max_tries=max_tries, **task) as ledger:
                claimed = claim(ledger, ABC)
                assert places(claimed) == answer
                if claimed.ticket:
                    settle(ledger, claimed)


@either
@pytest.mark.parametrize("joins", [True, False], ids=["before its last try", "after its last try"])
def test_tasks_that_are_cleared_together_share_the_new_delivery_however_often_each_was_tried(joins):
    """The clear of both is the second; a third one, of another task, comes before the second of them begins."""
    task = {"delivery_key": "spring", "forget_on_clear": True, "run_began": 1000.5}
    with open_ledger(task_id="one", max_tries=1, **task) as one:
        settle(one, claim(one, ["ann", "ben"]))
    with open_ledger(task_id="two", max_tries=1, **task) as two:
        assert places(claim(two, ["ann", "cleo"])) == said(free=[1], accepted=1)
    with open_ledger(task_id="one", max_tries=2, clear_number=2, **task) as one:
        settle(one, claim(one, ["ann", "ben"]))
    if not joins:
        with open_ledger(task_id="two", max_tries=1, clear_number=2, **task) as two:
            assert places(claim(two, ["ann", "cleo"])) == said(accepted=1, doubt=[1]), "a retry is no clear"
    with open_ledger(task_id="two", max_tries=3, clear_number=3, **task) as two:
        assert places(claim(two, ["ann", "cleo"])) == (said(free=[1], accepted=1) if joins else said(free=[0, 1]))


@either
def test_each_clear_begins_anew_though_airflows_count_comes_back():
    for number, max_tries in enumerate((3, 5, 3, 5)):
        with open_ledger(max_tries=max_tries, clear_number=number, forget_on_clear=True) as ledger:
            answer = claim(ledger, ABC)
            assert places(answer) == said(free=[0, 1, 2])
            settle(ledger, answer)


@either
def test_a_clear_of_a_run_that_had_ended_is_seen_by_its_new_beginning():
    task = {"max_tries": 1, "forget_on_clear": True}
    with open_ledger(run_began=1000.5, **task) as first:
        settle(first, claim(first, ABC))
    with open_ledger(run_began=1000.5, clear_number=1, **task) as retry:
        assert not retry.past.cleared
        assert places(claim(retry, ABC)) == said(accepted=3)
    with open_ledger(run_began=2000.5, clear_number=2, **task) as cleared:
        assert cleared.past.cleared
        answer = claim(cleared, ABC)
        assert places(answer) == said(free=[0, 1, 2])
        settle(cleared, answer)
    with open_ledger(run_began=2000.5, clear_number=2, **task) as retry:
        assert not retry.past.cleared
        assert places(claim(retry, ABC)) == said(accepted=3)


# Broadcasts, identities


def test_a_broadcast_counts_as_a_single_recipient(database):
    with open_ledger() as ledger:
        (answer,) = ledger.write([Intent(broadcast())], [])
        assert places(answer) == said(free=[0])
        assert states(database) == [("intent", 1)]
        assert places(claim(ledger, ["*"])) == said(free=[0])
    with open_ledger() as second:
        (answer,) = second.write([Intent(broadcast())], [])
        assert places(answer) == said(doubt=[0])
        (answer,) = second.write([Intent(broadcast(), take_doubt=True)], [])
        settle(second, answer)
        (answer,) = second.write([Intent(broadcast())], [])
        assert places(answer) == said(accepted=1)


def test_no_table_names_a_person(database):
    prioritization = ["identified", "most_recently_updated"]
    people = [
        "secret-person-1",
        {"email": "secret-person-2@example.com", "prioritization": prioritization},
        {"user_alias": {"alias_label": "crm", "alias_name": "secret-person-3"}},
        {"external_user_id": "secret-person-4", "trigger_properties": {"name": "secret-person-5"}},
    ]
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, people[:2]), dispatch_id="d1")
        assert places(claim(ledger, people)) == said(free=[2, 3], accepted=2)
    rows = [row for table in TABLES for row in database.execute(f"SELECT * FROM braze_ledger_{table}")]
    assert len(rows) == 1 + 1 + 2 + 4
    assert "secret" not in repr(rows)


# Tables and connections


def test_eight_workers_make_the_tables_at_once(database):
    with ThreadPoolExecutor(8) as threads:
        ledgers = list(threads.map(lambda number: open_ledger(map_index=number, delivery_key="k"), range(8)))
        answers = list(threads.map(lambda ledger: claim(ledger, ABC), ledgers))
    assert sum(len(answer.free) for answer in answers) == 3
    assert len(database.execute("SELECT * FROM braze_ledger_tries")) == 8
    for ledger in ledgers:
        ledger.close()


def test_another_prefix_is_another_ledger(database):
    with open_ledger() as one, open_ledger(SqlLedger(CONN_ID, table_prefix="marketing_2")) as two:
        claim(one, ABC)
        assert places(claim(two, ABC)) == said(free=[0, 1, 2])
    assert len(database.execute("SELECT * FROM marketing_2_recipients")) == 3


def test_a_role_that_may_not_make_tables_uses_those_there_are(postgres_ledger, monkeypatch):
    postgres_ledger.execute("DROP ROLE IF EXISTS plain")
    postgres_ledger.execute("CREATE ROLE plain LOGIN PASSWORD 'plain-secret'")
    connection = json.loads(postgres_ledger.connection_json())
    name = f"AIRFLOW_CONN_{CONN_ID.upper()}"
    plain = json.dumps({**connection, "login": "plain", "password": "plain-secret"})
    monkeypatch.setenv(name, plain)
    with pytest.raises(BrazeLedgerError, match=r"cannot make its tables .*permission denied"):
        open_ledger()
    monkeypatch.setenv(name, json.dumps(connection))
    open_ledger().close()
    postgres_ledger.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain")
    monkeypatch.setenv(name, plain)
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC))
    postgres_ledger.execute("REVOKE INSERT ON braze_ledger_recipients FROM plain")
    with open_ledger() as ledger, pytest.raises(BrazeLedgerError, match="permission denied") as caught:
        claim(ledger, ["secret-person"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_either_driver_of_postgres_will_do(postgres_ledger, monkeypatch, driver):
    connection = json.loads(postgres_ledger.connection_json())
    connection["extra"] = {"sqlalchemy_scheme": f"postgresql+{driver}"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
    with open_ledger() as ledger:
        settle(ledger, claim(ledger, ABC), Outcome.NOT_SENT)
        assert places(claim(ledger, ABC)) == said(free=[0, 1, 2])


def test_the_extras_of_a_connection_count(postgres_ledger, monkeypatch):
    connection = json.loads(postgres_ledger.connection_json())
    connection["extra"] = {"sslmode": "require"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
    with pytest.raises(BrazeLedgerError, match="does not support SSL"):
        open_ledger()


def test_a_database_of_another_isolation_level_will_do(postgres_ledger):
    postgres_ledger.execute(f"ALTER DATABASE {postgres_ledger.name} SET default_transaction_isolation = 'serializable'")
    deliver_side_by_side()
    assert "could not serialize" not in (postgres_ledger.server.directory / "log").read_text()


def test_a_database_that_is_away_is_a_ledger_error_without_its_password(postgres, monkeypatch):
    connection = json.loads(postgres.connection_json("nowhere_to_be_found"))
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))
    with pytest.raises(BrazeLedgerError, match=r"nowhere_to_be_found.* does not exist") as caught:
        open_ledger()
    assert postgres.password not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_sqlite_file_that_cannot_be_made_is_a_ledger_error(monkeypatch, tmp_path):
    path = tmp_path / "missing" / "ledger.db"
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with pytest.raises(BrazeLedgerError, match="unable to open database file"):
        open_ledger()


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (None, "There is no connection 'ledger' for the ledger, nothing was sent"),
        ({"conn_type": "http", "host": "example.com"}, "'ledger' is none that a ledger can use"),
        ({"conn_type": "nonsense", "host": "example.com"}, "'ledger' is none that a ledger can use"),
        ({"conn_type": "sqlite", "host": ":memory:"}, "leads to sqlite by pysqlite, in memory"),
    ],
)
def test_a_connection_of_the_wrong_kind_says_what_is_supported(monkeypatch, connection, problem):
    name = f"AIRFLOW_CONN_{CONN_ID.upper()}"
    monkeypatch.delenv(name, raising=False)
    if connection:
        monkeypatch.setenv(name, json.dumps(connection))
    with pytest.raises(BrazeConfigurationError, match=problem) as caught:
        open_ledger()
    assert "PostgreSQL (psycopg2 or psycopg 3)" in str(caught.value)


def test_another_driver_is_refused():
    with pytest.raises(
        BrazeConfigurationError, match=r"'ledger' leads to postgresql by asyncpg, .* or in a SQLite file"
    ):
        check_engine(CONN_ID, create_engine("postgresql+asyncpg://127.0.0.1/ledger"))


# The object that the author of a DAG writes


def test_a_ledger_is_a_plain_value():
    ledger = SqlLedger("warehouse", table_prefix="marketing")
    assert ledger == SqlLedger("warehouse", table_prefix="marketing") != SqlLedger("warehouse")
    assert copy.deepcopy(ledger) == pickle.loads(pickle.dumps(ledger)) == ledger
    assert repr(ledger) == "SqlLedger(conn_id='warehouse', table_prefix='marketing')"
    assert SqlLedger.shared
    assert SqlLedger.template_fields == ("conn_id",)


@pytest.mark.parametrize("prefix", ["", "2x", "a.b", "Ledger", "a b", "a;--", "ä", "a\n", "x" * 41, None])
def test_a_prefix_must_be_a_plain_name(prefix):
    with pytest.raises(BrazeConfigurationError, match="table_prefix takes small letters"):
        SqlLedger("warehouse", table_prefix=prefix)
