"""The journal: many intents in one write, nothing leaves before it is durable, and whoever waits is told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from airflow_provider_braze.delivery import journal as journals
from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.journal import LINGER, Journal
from airflow_provider_braze.delivery.ledger import Claim, Intent, OpenLedger, Past, Settlement
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import PlannedRequest

# Far above what a paused machine takes: whoever waits for so long waits for ever.
HANGS = 30


class Notes(OpenLedger):
    """Keeps each write; it may be slow, wait while it is held, and fail at the write of a number."""

    def __init__(self, *, seconds=0.0, held=False, fails_at=None, error=None):
        self.past = Past()
        self.seconds, self.fails_at, self.error = seconds, fails_at, error or BrazeLedgerError("the disk is full")
        self.writes, self.threads, self.inside = [], set(), 0
        self.let_go = threading.Event()
        if not held:
            self.let_go.set()

    def write(self, intents, settlements):
        self.inside += 1
        assert self.inside == 1, "called by two threads at a time"
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        assert self.let_go.wait(HANGS), "whoever is to let it go is blocked"
        self.writes.append(([one.request.place for one in intents], [one.ticket for one in settlements]))
        self.inside -= 1
        if self.fails_at is not None and len(self.writes) > self.fails_at:
            raise self.error
        return [Claim(ticket=one.request.place, free=range(1)) for one in intents]


async def writing(ledger):
    """Wait until a write is under way."""
    while not ledger.inside:
        await asyncio.sleep(0.001)


def intent(place):
    return Intent(PlannedRequest(place, b"{}", 1))


def settlement(place, outcome=Outcome.ACCEPTED):
    return Settlement(place, outcome)


def run(work):
    async def bounded():
        async with asyncio.timeout(2 * HANGS):
            return await work()

    return asyncio.run(bounded())


def test_without_a_ledger_everything_is_free_at_once():
    async def work():
        async with Journal(None) as journal:
            claim = await journal.intend(Intent(PlannedRequest(0, b"{}", 7)))
            journal.settle(settlement(None))
            return claim

    claim = run(work)
    assert (claim.ticket, list(claim.free)) == (None, list(range(7)))


def test_intents_that_wait_go_into_one_write_in_their_order():
    ledger = Notes(seconds=0.05)

    async def work():
        async with Journal(ledger) as journal:
            claims = await asyncio.gather(*(journal.intend(intent(place)) for place in range(100)))
            return [claim.ticket for claim in claims]

    assert run(work) == list(range(100))
    assert ledger.writes == [(list(range(100)), [])]


def test_what_comes_during_a_write_goes_into_the_next():
    ledger = Notes(held=True)

    async def work():
        async with Journal(ledger) as journal:
            first = asyncio.create_task(journal.intend(intent(0)))
            await writing(ledger)
            later = [asyncio.create_task(journal.intend(intent(place))) for place in (1, 2)]
            await asyncio.sleep(0)
            journal.settle(settlement(7))
            ledger.let_go.set()
            await asyncio.gather(first, *later)

    run(work)
    assert ledger.writes == [([0], []), ([1, 2], [7])]


def test_an_intent_is_answered_only_after_its_write_ended():
    ledger = Notes(seconds=0.2)

    async def work():
        async with Journal(ledger) as journal:
            began = time.monotonic()
            await journal.intend(intent(0))
            return time.monotonic() - began, len(ledger.writes)

    seconds, writes = run(work)
    assert seconds >= 0.2
    assert writes == 1


def test_the_event_loop_goes_on_while_the_ledger_blocks():
    ledger = Notes(held=True)

    async def work():
        async with Journal(ledger) as journal:
            waiting = asyncio.create_task(journal.intend(intent(0)))
            await writing(ledger)
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert not waiting.done()
            ledger.let_go.set()
            await waiting

    run(work)
    assert threading.get_ident() not in ledger.threads


def test_one_thread_writes_all():
    ledger = Notes()

    async def work():
        async with Journal(ledger) as journal:
            for place in range(5):
                await journal.intend(intent(place))
                journal.settle(settlement(place))

    run(work)
    assert len(ledger.threads) == 1


def test_writes_are_no_more_often_than_the_linger():
    ledger = Notes()

    async def work():
        async with Journal(ledger) as journal:
            end = time.monotonic() + 0.5
            place = 0
            while time.monotonic() < end:
                await journal.intend(intent(place))
                place += 1

    run(work)
    assert len(ledger.writes) <= 0.5 / LINGER + 2


def test_claims_of_nothing_new_do_not_linger(monkeypatch):
    """A resumed delivery goes quickly through what is done."""
    monkeypatch.setattr(journals, "LINGER", 2 * HANGS)

    class Done(Notes):
        def write(self, intents, settlements):
            super().write(intents, settlements)
            return [Claim(accepted=1) for _ in intents]

    async def work():
        async with Journal(Done()) as journal:
            began = time.monotonic()
            for place in range(100):
                await journal.intend(intent(place))
            return time.monotonic() - began

    assert run(work) < HANGS


def test_settlements_are_flushed_at_the_close_in_their_order():
    ledger = Notes(seconds=0.05)

    async def work():
        async with Journal(ledger) as journal:
            await journal.intend(intent(0))
            for place in range(50):
                journal.settle(settlement(place))

    run(work)
    assert [ticket for _, tickets in ledger.writes for ticket in tickets] == list(range(50))


def test_settlements_are_flushed_also_where_the_work_failed():
    ledger = Notes(seconds=0.05)

    async def work():
        async with Journal(ledger) as journal:
            await journal.intend(intent(0))
            journal.settle(settlement(0))
            raise RuntimeError("elsewhere")

    with pytest.raises(RuntimeError, match="elsewhere"):
        run(work)
    assert ledger.writes == [([0], []), ([], [0])]


def test_a_settlement_during_the_last_write_is_not_lost():
    ledger = Notes()

    async def work():
        async with Journal(ledger) as journal:
            await journal.intend(intent(0))
            ledger.let_go.clear()
            journal.settle(settlement(0))
            await writing(ledger)
            journal.settle(settlement(1))
            ledger.let_go.set()

    run(work)
    assert [ticket for _, tickets in ledger.writes for ticket in tickets] == [0, 1]


def test_a_settlement_without_a_ticket_writes_nothing():
    ledger = Notes()

    async def work():
        async with Journal(ledger) as journal:
            journal.settle(settlement(None))

    run(work)
    assert ledger.writes == []


@pytest.mark.parametrize(
    "error", [BrazeLedgerError("the disk is full"), OSError("the disk is full")], ids=lambda error: type(error).__name__
)
def test_a_write_that_fails_wakes_all_who_wait(error, caplog):
    ledger = Notes(held=True, fails_at=0, error=error)

    async def work():
        async with Journal(ledger) as journal:
            first = [asyncio.create_task(journal.intend(intent(place))) for place in range(3)]
            await writing(ledger)
            journal.settle(settlement(99))
            later = [asyncio.create_task(journal.intend(intent(place))) for place in range(3, 6)]
            await asyncio.sleep(0)
            ledger.let_go.set()
            answers = await asyncio.gather(*first, *later, return_exceptions=True)
            after = await asyncio.gather(journal.intend(intent(6)), return_exceptions=True)
            return answers + after, journal.error

    answers, kept = run(work)
    assert len(answers) == 7
    assert all(isinstance(answer, BrazeLedgerError) for answer in answers)
    assert "the disk is full" in str(kept)
    assert len(ledger.writes) == 1, "after a failure nothing more is written"
    assert "1 outcomes stay in doubt" in caplog.text


def test_outcomes_that_a_failing_write_had_are_told(caplog):
    ledger = Notes(fails_at=1)

    async def work():
        async with Journal(ledger) as journal:
            await journal.intend(intent(0))
            journal.settle(settlement(0))
            journal.settle(settlement(1))

            return journal

    with caplog.at_level(logging.ERROR):
        journal = run(work)
    assert "2 outcomes could not be written" in caplog.text
    assert journal.lost == {Outcome.ACCEPTED: 2}


def test_outcomes_that_are_in_the_ledger_though_it_refused_the_rest_are_not_lost():
    ledger = Notes(fails_at=1, error=BrazeLedgerError("another try has taken over", settled=True))

    async def work():
        async with Journal(ledger) as journal:
            await journal.intend(intent(0))
            journal.settle(settlement(0))
            with pytest.raises(BrazeLedgerError):
                await journal.intend(intent(1))
            journal.settle(settlement(1, Outcome.NOT_SENT))
            journal.settle(settlement(2, Outcome.UNKNOWN))
            return journal

    assert run(work).lost == {Outcome.NOT_SENT: 1}, "what was in doubt before is not lost"


def test_settling_after_a_failure_hangs_nobody(caplog):
    ledger = Notes(fails_at=0)

    async def work():
        async with Journal(ledger) as journal:
            with pytest.raises(BrazeLedgerError):
                await journal.intend(intent(0))
            journal.settle(settlement(0))
            journal.settle(settlement(1))

    run(work)
    assert "2 outcomes stay in doubt" in caplog.text


def test_one_who_no_longer_waits_does_not_keep_the_others_waiting():
    """A lane that broke cancels the rest; outcomes of requests that Braze answered must be written all the same."""
    ledger = Notes(held=True)

    async def work():
        async with Journal(ledger) as journal:
            waiting = [asyncio.create_task(journal.intend(intent(place))) for place in range(3)]
            await writing(ledger)
            waiting[1].cancel()
            journal.settle(settlement(7))
            ledger.let_go.set()
            _, hanging = await asyncio.wait(waiting, timeout=HANGS)
            for one in hanging:
                one.cancel()
            return len(hanging)

    assert run(work) == 0
    assert [ticket for _, tickets in ledger.writes for ticket in tickets] == [7]


def test_a_failing_write_reaches_the_others_where_one_no_longer_waits():
    ledger = Notes(held=True, fails_at=0)

    async def work():
        async with Journal(ledger) as journal:
            waiting = [asyncio.create_task(journal.intend(intent(place))) for place in range(3)]
            await writing(ledger)
            waiting[0].cancel()
            ledger.let_go.set()
            _, hanging = await asyncio.wait(waiting, timeout=HANGS)
            for one in hanging:
                one.cancel()
            return len(hanging)

    assert run(work) == 0


def test_closing_twice_as_many_journals_as_there_are_writes_leaves_no_thread():
    before = threading.active_count()

    async def work():
        for _ in range(5):
            async with Journal(Notes()) as journal:
                await journal.intend(intent(0))

    run(work)
    assert threading.active_count() <= before
