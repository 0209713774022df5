"""A ledger that does its work, notes what became durable, and kills its process at a given moment."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_braze.delivery.ledger import Claim, Intent, Ledger, OpenLedger, Past, Settlement, TaskTry
from airflow_provider_braze.delivery.plan import Plan

SIGNALS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    # What Airflow's own timer of a task's execution_timeout sends.
    "timeout": signal.SIGALRM,
    "SIGSTOP": signal.SIGSTOP,
}


@dataclass
class Deadly(Ledger):
    """Passes all on to another ledger.

    :param inner: the real one.
    :param witness: file that gets a line for each write, when it begins and when it is durable.
    :param at: ``before_intent``, ``after_intent``, ``before_outcome``, ``after_outcome``; None for never.
    :param number: of which intent or outcome, from 1.
    :param how: key of ``SIGNALS``.
    """

    inner: Ledger
    witness: str
    at: str | None = None
    number: int = 2
    how: str = "SIGKILL"

    @property
    def shared(self) -> bool:  # type: ignore[override]
        return self.inner.shared

    def look_back(self, task: TaskTry) -> Past:
        return self.inner.look_back(task)

    def count_known(self, task: TaskTry, plan: Plan) -> int:
        return self.inner.count_known(task, plan)

    def open(self, task: TaskTry, plan: Plan) -> OpenLedger:
        return _OpenDeadly(self, self.inner.open(task, plan))


class _OpenDeadly(OpenLedger):
    def __init__(self, deadly: Deadly, inner: OpenLedger) -> None:
        self._deadly, self._inner = deadly, inner
        self._intents = self._outcomes = 0

    @property
    def past(self):  # type: ignore[override]
        return self._inner.past

    @property
    def generation(self):  # type: ignore[override]
        return self._inner.generation

    @property
    def note(self):  # type: ignore[override]
        return self._inner.note

    @property
    def stranger(self):  # type: ignore[override]
        return self._inner.stranger

    def keep_note(self, note: dict) -> None:
        self._inner.keep_note(note)

    def forget(self, schedule_ids: Collection[str]) -> None:
        self._inner.forget(schedule_ids)

    def restart(self) -> None:
        self._inner.restart()

    def close(self) -> None:
        self._inner.close()

    def write(self, intents: Sequence[Intent], settlements: Sequence[Settlement]) -> list[Claim]:
        before = {"intent": self._intents, "outcome": self._outcomes}
        self._intents += len(intents)
        self._outcomes += len(settlements)
        after = {"intent": self._intents, "outcome": self._outcomes}
        note = {
            "intents": [intent.request.place for intent in intents],
            "outcomes": [settlement.outcome.name for settlement in settlements],
        }
        self._note("begins", note)
        self._die_if("before", before, after)
        claims = self._inner.write(intents, settlements)
        # Where nobody is free there is nothing to write.
        note["intents"] = [
            intent.request.place for intent, claim in zip(intents, claims, strict=True) if claim.ticket is not None
        ]
        self._note("durable", note)
        self._die_if("after", before, after)
        return claims

    def _note(self, what: str, note: dict) -> None:
        with Path(self._deadly.witness).open("a") as file:
            file.write(json.dumps({"what": what, "pid": os.getpid(), **note}) + "\n")

    def _die_if(self, side: str, before: dict[str, int], after: dict[str, int]) -> None:
        when, _, kind = (self._deadly.at or "").partition("_")
        if when == side and before[kind] < self._deadly.number <= after[kind]:
            if self._deadly.how == "SIGSTOP":
                # To this thread: another one may be late to take it.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
                return
            os.kill(os.getpid(), SIGNALS[self._deadly.how])
            # The main thread takes the signal; this one must not get further meanwhile.
            time.sleep(0.2)
