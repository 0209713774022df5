"""TaskStateLedger: what it keeps in Airflow's task state, and what the next try makes of it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_braze import guards
from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Intent, Settlement, TaskTry
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.task_state import HEAD, REQUESTS_A_KEY, TaskStateLedger

SEND, SCHEDULE = "campaigns_trigger_send", "campaigns_trigger_schedule_create"
CAMPAIGN = {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"}
OTHER = {"campaign_id": "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"}
LATER = {"schedule": {"time": "2099-01-01T00:00:00Z"}}
NOTHING_KEPT = (Outcome.NOT_SENT, Outcome.FAILED, Outcome.REFUSED)


@pytest.fixture(autouse=True)
def _never_expire(monkeypatch):
    """Airflow 3.3's word for a store's entry that stays; older ones have no store, and no word."""
    import airflow.sdk

    if not hasattr(airflow.sdk, "NEVER_EXPIRE"):
        monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", timedelta.max, raising=False)


class Store:
    """Airflow's task_state_store as the API keeps it: JSON by key."""

    def __init__(self):
        self.kept, self.retentions, self.fails = {}, set(), ()

    def get(self, key, default=None):
        if "get" in self.fails:
            raise ConnectionError("the API server is away")
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value, *, retention=None):
        if "set" in self.fails:
            raise ConnectionError("the API server is away")
        assert value is not None
        self.retentions.add(retention)
        self.kept[key] = json.dumps(value)

    def value(self, number=0, generation=0):
        return json.loads(self.kept[f"{HEAD}/{generation}/{number}"])


def names(count):
    return [f"p{number}" for number in range(count)]


@contextmanager
def opened(store, people=120, *, endpoint=SEND, payload=CAMPAIGN, **task):
    """A try of the task: its ledger, and its requests."""
    audience = None if people is None else ListAudience(names(people) if isinstance(people, int) else people)
    with Plan(endpoint, payload, audience) as plan:
        known = TaskTry(dag_id="d", run_id="r", task_id="t", store=store, **task)
        with TaskStateLedger().open(known, plan) as ledger:
            yield ledger, list(plan)


def claim(ledger, request, *, take_doubt=False):
    [answer] = ledger.write([Intent(request, take_doubt)], [])
    return answer


def settle(ledger, answer, outcome=Outcome.ACCEPTED, **result):
    assert ledger.write([], [Settlement(answer.ticket, outcome, **result)]) == []


def told(answer):
    """What a claim says, as plain values."""
    return {
        "free": len(answer.free),
        "doubt": len(answer.doubt),
        "held": len(answer.held),
        "accepted": answer.accepted,
        "refused": answer.refused,
        "ticket": answer.ticket is not None,
    }


def said(people=50, **kinds):
    return {"free": 0, "doubt": 0, "held": 0, "accepted": 0, "refused": 0, "ticket": False, **kinds}


FREE, DOUBT, DONE = said(free=50, ticket=True), said(doubt=50), said(accepted=50)


def test_the_ledger_needs_a_store():
    with pytest.raises(BrazeConfigurationError, match="needs Airflow 3"), opened(None):
        pass


def test_opening_alone_writes_nothing():
    store = Store()
    with opened(store) as (ledger, _):
        assert ledger.past.began is None
    assert store.kept == {}


def test_an_intent_is_in_the_store_when_write_returns():
    store = Store()
    with opened(store) as (ledger, requests):
        answer = claim(ledger, requests[0])
        assert told(answer) == FREE
        assert list(answer.free) == list(range(50))
        value = store.value()
    assert value["s"] == "?.."
    assert abs(value["t"]["0"] - time.time()) < 60
    assert json.loads(store.kept[HEAD])["for"] == f"{SEND} {CAMPAIGN['campaign_id']}"


def test_nothing_in_the_store_expires_or_names_a_person():
    store = Store()
    with opened(store, ["somebody@example.com", "zebra-1"]) as (ledger, requests):
        settle(ledger, claim(ledger, requests[0]))
    assert store.retentions == {timedelta.max}
    text = json.dumps(store.kept)
    assert "zebra" not in text
    assert "@" not in text


AFTER = {
    "accepted": ((Outcome.ACCEPTED,), DONE, "a"),
    "unknown": ((Outcome.UNKNOWN,), DOUBT, "u"),
    "not sent": ((Outcome.NOT_SENT,), FREE, "."),
    "failed": ((Outcome.FAILED,), FREE, "."),
    "refused": ((Outcome.REFUSED,), FREE, "."),
    "not settled": ((), DOUBT, "?"),
}


@pytest.mark.parametrize("how", ["this try", "the next try"])
@pytest.mark.parametrize("case", AFTER)
def test_what_becomes_of_an_intent(case, how):
    outcomes, expected, letter = AFTER[case]
    store = Store()
    with opened(store) as (ledger, requests):
        answer = claim(ledger, requests[1])
        for outcome in outcomes:
            settle(ledger, answer, outcome)
        assert store.value()["s"] == f".{letter}."
        if how == "this try":
            assert told(claim(ledger, requests[1])) == expected
    if how == "the next try":
        with opened(store) as (ledger, requests):
            assert told(claim(ledger, requests[1])) == expected
            assert told(claim(ledger, requests[0])) == FREE


@pytest.mark.parametrize("crash", [False, True], ids=["unknown", "a dead worker"])
@pytest.mark.parametrize(
    ("outcome", "letter"), [(Outcome.ACCEPTED, "a"), (Outcome.UNKNOWN, "u"), *((kind, "u") for kind in NOTHING_KEPT)]
)
def test_a_doubt_that_is_taken(crash, outcome, letter):
    """That a repeat was not sent, or refused, does not say what became of the first."""
    store = Store()
    with opened(store) as (ledger, requests):
        first = claim(ledger, requests[0])
        if not crash:
            settle(ledger, first, Outcome.UNKNOWN)
    with opened(store) as (ledger, requests):
        assert told(claim(ledger, requests[0])) == DOUBT
        taken = claim(ledger, requests[0], take_doubt=True)
        assert told(taken) == FREE
        assert store.value()["s"] == "?.."
        settle(ledger, taken, outcome)
        assert store.value()["s"] == f"{letter}.."
        assert store.value()["t"] == ({} if letter == "a" else {"0": first.since})
    with opened(store) as (ledger, requests):
        answer = claim(ledger, requests[0])
        assert told(answer) == (DONE if letter == "a" else DOUBT)
        if letter == "u":
            assert answer.since == first.since, "Braze is asked about all that was sent since the first intent"


def test_a_worker_that_dies_with_a_taken_doubt_leaves_it_in_doubt():
    store = Store()
    with opened(store) as (ledger, requests):
        first = claim(ledger, requests[0])
    for _ in range(2):
        with opened(store) as (ledger, requests):
            assert told(claim(ledger, requests[0], take_doubt=True)) == FREE
    with opened(store) as (ledger, requests):
        assert ledger.past.doubtful == 50
        assert claim(ledger, requests[0]).since == first.since


def test_a_doubt_given_back_by_one_try_is_not_forgotten_by_a_second_refusal():
    """Taken twice in one try, refused twice: still in doubt."""
    store = Store()
    with opened(store) as (ledger, requests):
        claim(ledger, requests[0])
    with opened(store) as (ledger, requests):
        for _ in range(2):
            settle(ledger, claim(ledger, requests[0], take_doubt=True), Outcome.NOT_SENT)
            assert store.value()["s"] == "u.."


def test_a_request_that_was_free_and_is_claimed_again_is_free_after_a_refusal():
    store = Store()
    with opened(store) as (ledger, requests):
        for _ in range(2):
            settle(ledger, claim(ledger, requests[0]), Outcome.NOT_SENT)
        assert store.value()["s"] == "..."
        assert store.value()["t"] == {}


def test_refusals_by_name_are_kept():
    store = Store()
    with opened(store) as (ledger, requests):
        settle(ledger, claim(ledger, requests[0]), refused=3)
    with opened(store) as (ledger, requests):
        assert told(claim(ledger, requests[0])) == said(accepted=47, refused=3)
        assert (ledger.past.accepted, ledger.past.accepted_requests) == (47, 1)


def test_what_the_past_says():
    store = Store()
    with opened(store, 230) as (ledger, requests):
        answers = ledger.write([Intent(request) for request in requests], [])
        settle(ledger, answers[0], dispatch_id="d0")
        settle(ledger, answers[1], dispatch_id="d1", refused=2)
        settle(ledger, answers[2], Outcome.UNKNOWN)
        settle(ledger, answers[3], Outcome.NOT_SENT)
    with opened(store, 230) as (ledger, _):
        past = ledger.past
    assert past.began
    assert past.cleared is False
    assert (past.accepted, past.accepted_requests) == (98, 2)
    assert (past.doubtful, past.doubtful_requests) == (80, 2)
    assert (past.dispatch_ids, past.schedule_ids) == (["d0", "d1"], [])


def test_settlements_count_before_intents_of_the_same_write():
    store = Store()
    with opened(store) as (ledger, requests):
        first = claim(ledger, requests[0])
        [answer] = ledger.write([Intent(requests[0])], [Settlement(first.ticket, Outcome.NOT_SENT)])
        assert told(answer) == FREE


def test_a_broadcast_counts_as_one_person():
    store = Store()
    with opened(store, None, payload={**CAMPAIGN, "broadcast": True}) as (ledger, [request]):
        answer = claim(ledger, request)
        assert told(answer) == said(free=1, ticket=True)
        settle(ledger, answer, dispatch_id="d")
    with opened(store, None, payload={**CAMPAIGN, "broadcast": True}) as (ledger, [request]):
        assert told(claim(ledger, request)) == said(accepted=1)
        assert (ledger.past.accepted, ledger.past.accepted_requests) == (0, 1)


# Keys and sizes.


def schedule_id(place):
    return f"{place:08d}-0000-4000-8000-000000000000"


def test_two_hundred_requests_a_key_each_below_64_kb():
    store, count = Store(), 2 * REQUESTS_A_KEY + 1
    with opened(store, 50 * count, endpoint=SCHEDULE, payload=CAMPAIGN | LATER) as (ledger, requests):
        assert len(requests) == count
        answers = ledger.write([Intent(request) for request in requests], [])
        settlements = [
            Settlement(answer.ticket, Outcome.ACCEPTED, refused=1, schedule_id=schedule_id(answer.ticket))
            for answer in answers
        ]
        ledger.write([], settlements)
    assert set(store.kept) == {HEAD, *(f"{HEAD}/0/{number}" for number in range(3))}
    assert [len(store.value(number)["s"]) for number in range(3)] == [200, 200, 1]
    assert max(map(len, store.kept.values())) < 20_000
    assert max(map(len, store.kept)) < 512
    with opened(store, 50 * count, endpoint=SCHEDULE, payload=CAMPAIGN | LATER) as (ledger, _):
        assert ledger.past.schedule_ids == [schedule_id(place) for place in range(count)]
        assert ledger.past.accepted == 49 * count


def test_a_key_in_doubt_is_below_64_kb_too():
    store = Store()
    with opened(store, 50 * REQUESTS_A_KEY) as (ledger, requests):
        ledger.write([Intent(request) for request in requests], [])
    assert len(store.kept[f"{HEAD}/0/0"]) < 20_000


def test_only_keys_that_changed_are_written():
    store = Store()
    with opened(store, 50 * (REQUESTS_A_KEY + 1)) as (ledger, requests):
        answers = ledger.write([Intent(request) for request in requests], [])
        del store.kept[f"{HEAD}/0/0"]
        settle(ledger, answers[-1])
        assert set(store.kept) == {HEAD, f"{HEAD}/0/1"}


# The audience of the next try.


def begun(store, people=120, requests=2, **given):
    with opened(store, people, **given) as (ledger, planned):
        for request in planned[:requests]:
            settle(ledger, claim(ledger, request))


def test_the_same_audience_goes_on():
    store = Store()
    begun(store)
    with opened(store) as (ledger, requests):
        assert [told(claim(ledger, request)) for request in requests] == [DONE, DONE, said(free=20, ticket=True)]


def test_people_who_come_after_those_begun_are_sent_to():
    store = Store()
    begun(store, 120, 2)
    with opened(store, 260) as (ledger, requests):
        assert [told(claim(ledger, request))["free"] for request in requests] == [0, 0, 50, 50, 50, 10]
    with opened(store, 260) as (ledger, _):
        assert ledger.past.doubtful == 160


def test_people_who_fill_up_a_request_that_was_begun_stop_it():
    store = Store()
    begun(store, 120, 3)
    with pytest.raises(BrazeAudienceError, match="request 3 would go to other people"), opened(store, 130):
        pass


def test_people_who_come_after_many_keys():
    store, people = Store(), 50 * REQUESTS_A_KEY
    begun(store, people, REQUESTS_A_KEY)
    with opened(store, people + 30) as (ledger, requests):
        assert told(claim(ledger, requests[-1])) == said(free=30, ticket=True)
    with opened(store, people + 30) as (ledger, _):
        assert (ledger.past.accepted, ledger.past.doubtful) == (people, 30)


SHUFFLED = names(120)[::-1]
CHANGES = {
    "another order": SHUFFLED,
    "somebody new in front": ["new", *names(120)],
    "somebody missing in front": names(120)[1:],
    "two swapped": [*names(120)[1::-1], *names(120)[2:]],
    "fewer than were begun": names(40),
    "one fewer than were begun": names(99),
    "one request of two": names(50),
}


@pytest.mark.parametrize("outcome", [Outcome.ACCEPTED, Outcome.UNKNOWN, None], ids=["done", "doubt", "dead worker"])
@pytest.mark.parametrize("change", CHANGES)
def test_another_audience_stops(change, outcome):
    store = Store()
    with opened(store) as (ledger, requests):
        for request in requests[:2]:
            answer = claim(ledger, request)
            if outcome:
                settle(ledger, answer, outcome)
    before = dict(store.kept)
    with pytest.raises(BrazeAudienceError, match="audience is another one") as caught, opened(store, CHANGES[change]):
        pass
    assert "Nothing was sent now" in str(caught.value)
    assert store.kept == before


@pytest.mark.parametrize("change", ["fewer than were begun", "somebody missing in front"])
def test_another_audience_of_a_cleared_task_stops_too_and_leaves_the_ledger_usable(change):
    store = Store()
    begun(store)
    for _ in range(2):
        with pytest.raises(BrazeAudienceError), opened(store, CHANGES[change], max_tries=3):
            pass
    with opened(store, max_tries=3) as (ledger, _):
        assert ledger.past.accepted == 100


def test_what_was_not_begun_may_change():
    store = Store()
    begun(store, 120, 2)
    people = [*names(100), "somebody", "else"]
    with opened(store, people) as (ledger, requests):
        assert [told(claim(ledger, request)) for request in requests] == [DONE, DONE, said(free=2, ticket=True)]


@pytest.mark.parametrize("outcome", NOTHING_KEPT)
@pytest.mark.parametrize("people", [SHUFFLED, names(3), names(900)], ids=["order", "fewer", "more"])
def test_where_nothing_was_sent_the_audience_may_change(people, outcome):
    store = Store()
    with opened(store) as (ledger, requests):
        for request in requests:
            settle(ledger, claim(ledger, request), outcome)
    with opened(store, people) as (ledger, requests):
        assert ledger.past.accepted == ledger.past.doubtful == 0
        answers = [told(claim(ledger, request)) for request in requests]
        assert sum(answer["free"] for answer in answers) == len(people)
    with opened(store, people) as (ledger, _):
        assert ledger.past.doubtful == len(people)


@pytest.mark.parametrize("count", [3, 50, 5000, 10_001, 30_000])
def test_where_nothing_was_sent_an_audience_of_many_keys_may_shrink_or_grow(count):
    store, people = Store(), 50 * (2 * REQUESTS_A_KEY + 5)
    with opened(store, people) as (ledger, requests):
        answers = ledger.write([Intent(request) for request in requests], [])
        ledger.write([], [Settlement(answer.ticket, Outcome.NOT_SENT) for answer in answers])
    with opened(store, count) as (ledger, requests):
        answers = ledger.write([Intent(request) for request in requests], [])
        ledger.write([], [Settlement(answer.ticket, Outcome.ACCEPTED) for answer in answers])
    with opened(store, count) as (ledger, requests):
        assert ledger.past.accepted == count
        assert all(told(claim(ledger, request))["accepted"] for request in requests)
    with pytest.raises(BrazeAudienceError), opened(store, max(1, count - 1)):
        if count == 1:
            raise AssertionError


def test_another_campaign_stops():
    store = Store()
    begun(store)
    words = "An earlier try of this task sent"
    with pytest.raises(BrazeAudienceError, match=words) as caught, opened(store, payload=OTHER):
        pass
    assert CAMPAIGN["campaign_id"] in str(caught.value)
    assert OTHER["campaign_id"] in str(caught.value)


def test_a_campaign_that_reached_nobody_may_be_corrected():
    store = Store()
    with opened(store, payload=OTHER) as (ledger, requests):
        settle(ledger, claim(ledger, requests[0]), Outcome.FAILED)
    begun(store)
    with opened(store) as (ledger, _):
        assert ledger.past.accepted == 100
    with pytest.raises(BrazeAudienceError), opened(store, payload=OTHER):
        pass


# Clears.


def test_a_clear_resumes():
    store = Store()
    begun(store)
    with opened(store, max_tries=1) as (ledger, requests):
        assert ledger.past.cleared
        assert told(claim(ledger, requests[0])) == DONE
    with opened(store, max_tries=1) as (ledger, _):
        assert not ledger.past.cleared, "a retry after the clear is no clear"
        assert ledger.past.accepted == 100


def test_a_clear_with_resend_begins_anew_and_its_retries_resume():
    store = Store()
    begun(store)
    with opened(store, max_tries=1, forget_on_clear=True) as (ledger, requests):
        assert ledger.past.cleared
        assert ledger.past.accepted == 0
        settle(ledger, claim(ledger, requests[0]))
        claim(ledger, requests[1])
    for _ in range(2):
        with opened(store, max_tries=1, forget_on_clear=True) as (ledger, requests):
            assert not ledger.past.cleared
            assert (ledger.past.accepted, ledger.past.doubtful) == (50, 50)
            assert told(claim(ledger, requests[0])) == DONE
    with opened(store, max_tries=2, forget_on_clear=True) as (ledger, _):
        assert ledger.past.cleared
        assert ledger.past.accepted == 0


def test_a_clear_with_resend_whose_first_try_dies_before_it_sends_is_not_forgotten():
    store = Store()
    begun(store)
    with opened(store, max_tries=1, forget_on_clear=True):
        pass
    with opened(store, max_tries=1, forget_on_clear=True) as (ledger, requests):
        assert told(claim(ledger, requests[0])) == FREE


# What Airflow counts at another try than the one of these counts: it was cleared, or it is a retry.
BEGUN = {"max_tries": 1, "clear_number": 1, "run_began": 1000.5}
CLEARED = {
    "which raises max_tries": {"max_tries": 2, "clear_number": 2},
    "before Airflow 3.3, in a run that goes on": {"max_tries": 2},
    "after the run had ended, with fewer retries": {"clear_number": 2, "run_began": 2000.5},
}
RETRIED = {
    "which changes nothing": {},
    "after a clear of another task": {"clear_number": 2},
    "in a run that a person queued again": {"run_began": 2000.5},
    "where nobody knows when the run began": {"clear_number": 2, "run_began": 0.0},
}


@pytest.mark.parametrize("counts", RETRIED.values(), ids=RETRIED)
def test_a_retry_of_a_task_with_resend_resumes(counts):
    store = Store()
    begun(store, **BEGUN, forget_on_clear=True)
    for _ in range(2):
        with opened(store, **BEGUN | counts, forget_on_clear=True) as (ledger, requests):
            assert not ledger.past.cleared
            assert told(claim(ledger, requests[0])) == DONE


@pytest.mark.parametrize("counts", CLEARED.values(), ids=CLEARED)
def test_a_clear_is_seen_once(counts):
    store = Store()
    begun(store, **BEGUN, forget_on_clear=True)
    with opened(store, **BEGUN | counts, forget_on_clear=True) as (ledger, requests):
        assert ledger.past.cleared
        settle(ledger, claim(ledger, requests[0]))
    with opened(store, **BEGUN | counts, forget_on_clear=True) as (ledger, _):
        assert not ledger.past.cleared
        assert ledger.past.accepted == 50


def test_a_clear_of_another_task_is_not_taken_for_one_of_this_when_the_run_begins_again_later():
    store = Store()
    begun(store, **BEGUN)
    with opened(store, **BEGUN | {"clear_number": 2}):
        pass
    with opened(store, **BEGUN | {"clear_number": 2, "run_began": 2000.5}) as (ledger, _):
        assert not ledger.past.cleared


def test_each_clear_begins_anew_though_airflows_count_comes_back():
    store = Store()
    begun(store, max_tries=3)
    for number, max_tries in enumerate((5, 3, 5), 1):
        with opened(store, max_tries=max_tries, clear_number=number, forget_on_clear=True) as (ledger, requests):
            assert told(claim(ledger, requests[0])) == FREE


def test_after_a_clear_with_resend_the_audience_and_the_campaign_may_change():
    store = Store()
    begun(store)
    with opened(store, SHUFFLED, payload=OTHER, max_tries=1, forget_on_clear=True) as (ledger, requests):
        settle(ledger, claim(ledger, requests[0]))
    with opened(store, SHUFFLED, payload=OTHER, max_tries=1, forget_on_clear=True) as (ledger, _):
        assert ledger.past.accepted == 50


def test_resume_after_a_clear_with_resend_goes_on_with_the_newest():
    """The author wrote on_clear='resend', cleared, then took it back and cleared again."""
    store = Store()
    begun(store, requests=3)
    with opened(store, max_tries=1, forget_on_clear=True) as (ledger, requests):
        settle(ledger, claim(ledger, requests[0]))
    with opened(store, max_tries=2) as (ledger, _):
        assert ledger.past.cleared
        assert ledger.past.accepted == 50


def test_mapped_tasks_and_other_runs_have_other_names():
    tries = [
        TaskTry(dag_id=dag, run_id=run, task_id="t", map_index=index)
        for dag in ("d", "e")
        for run in ("r", "s")
        for index in (-1, 0, 1)
    ]
    assert len({task.name for task in tries}) == 12
    assert len({task.token for task in tries}) == 12


# The store fails.


def test_a_store_that_cannot_be_read():
    store = Store()
    store.fails = ("get",)
    with pytest.raises(BrazeLedgerError, match="cannot be read, nothing was sent") as caught, opened(store):
        pass
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_a_store_that_cannot_be_written():
    store = Store()
    with opened(store) as (ledger, requests):
        store.fails = ("set",)
        with pytest.raises(BrazeLedgerError, match="nothing more is sent: the API server is away"):
            claim(ledger, requests[0])
    assert store.kept == {}


@pytest.mark.parametrize("forget", [False, True])
def test_a_clear_that_cannot_be_written_stops(forget):
    store = Store()
    begun(store)
    before, store.fails = dict(store.kept), ("set",)
    with pytest.raises(BrazeLedgerError), opened(store, max_tries=1, forget_on_clear=forget):
        pass
    assert store.kept == before
    store.fails = ()
    with opened(store, max_tries=1, forget_on_clear=forget) as (ledger, _):
        assert ledger.past.cleared


def test_the_guard_opens_it_from_airflows_context():
    store = Store()
    task = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, max_tries=0, try_number=1)
    context = {"ti": task, "task_state_store": store}
    wishes = {"delivery_key": None, "on_clear": "resume", "doubt_after": 90.0}
    with (
        Plan(SEND, CAMPAIGN, ListAudience(["a"])) as plan,
        guards.open_ledger(context, None, plan, **wishes) as ledger,
    ):
        claim(ledger, next(iter(plan)))
    assert store.value()["s"] == "?"


# Any sequence of events, against a model of one letter per request.


# One for all examples: making it takes longer than all else.
with Plan(SEND, CAMPAIGN, ListAudience(names(50 * 5 + 7))) as PLAN:
    REQUESTS = list(PLAN)


class Model(RuleBasedStateMachine):
    """Intents, settlements, deaths, retries and clears; the model is what a person would write on paper."""

    @initialize()
    def start(self):
        self.store, self.max_tries, self.forget = Store(), 0, False
        self.state = ["free"] * 6
        self.under_way = {}
        self.open(died=False)

    def open(self, *, died):
        if died:
            self.under_way = {}
        task = TaskTry(
            dag_id="d",
            run_id="r",
            task_id="t",
            store=self.store,
            max_tries=self.max_tries,
            forget_on_clear=self.forget,
        )
        self.ledger = TaskStateLedger().open(task, PLAN)

    @rule(place=st.integers(0, 5), take_doubt=st.booleans())
    def intend(self, place, take_doubt):
        if place in self.under_way:
            return
        answer = claim(self.ledger, REQUESTS[place], take_doubt=take_doubt)
        people = REQUESTS[place].people
        state = self.state[place]
        if state == "done":
            assert told(answer) == said(accepted=people)
        elif state == "doubt" and not take_doubt:
            assert told(answer) == said(doubt=people)
        else:
            assert told(answer) == said(free=people, ticket=True)
            self.under_way[place] = (answer.ticket, state)
            self.state[place] = "doubt"

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)))
    def settle(self, data, outcome):
        place = data.draw(st.sampled_from(sorted(self.under_way)))
        ticket, before = self.under_way.pop(place)
        self.ledger.write([], [Settlement(ticket, outcome)])
        kept = {Outcome.ACCEPTED: "done", Outcome.UNKNOWN: "doubt"}
        self.state[place] = kept.get(outcome, before)

    @rule()
    def die(self):
        self.open(died=True)

    @rule(forget=st.booleans())
    def clear(self, forget):
        self.max_tries, self.forget = self.max_tries + 1, forget
        begun = self.store.kept != {}
        if forget and begun:
            self.state = ["free"] * 6
        self.open(died=True)
        assert self.ledger.past.cleared is begun

    @rule()
    def store_is_away(self):
        """A write that fails ends the try."""
        free = [place for place, state in enumerate(self.state) if state == "free" and place not in self.under_way]
        if not free:
            return
        self.store.fails = ("set",)
        with pytest.raises(BrazeLedgerError):
            claim(self.ledger, REQUESTS[free[0]])
        self.store.fails = ()
        self.open(died=True)

    @invariant()
    def another_try_would_know_the_same(self):
        if not hasattr(self, "store"):
            return
        task = TaskTry(dag_id="d", run_id="r", task_id="t", store=self.store, max_tries=self.max_tries)
        past = TaskStateLedger().open(task, PLAN).past
        sizes = [request.people for request in REQUESTS]
        assert past.accepted == sum(size for size, state in zip(sizes, self.state, strict=True) if state == "done")
        assert past.doubtful == sum(size for size, state in zip(sizes, self.state, strict=True) if state == "doubt")


Model.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestAnySequence = pytest.mark.usefixtures("_never_expire")(Model.TestCase)
