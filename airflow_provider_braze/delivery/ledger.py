"""Intent before the request, outcome after it.

A process that dies at any instant leaves each request in one of three states: not begun, in doubt (an intent without
an outcome), done. The next try skips what is done, sends what was not begun, and treats the doubt as the author wished.

A :class:`Ledger` is what the author of a DAG names; it costs nothing until a task opens it. An :class:`OpenLedger` is
one task's view of it: its methods block, and are called by one thread at a time.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.errors import BrazeAudienceError
    from airflow_provider_braze.delivery.outcome import Outcome
    from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.request import PlannedRequest


class Counts(NamedTuple):
    """What Airflow counts, by which a clear is told from a retry.

    :param max_tries: changes with a clear, and never with a retry; but the clear of a task whose ``retries`` were
        lowered meanwhile may leave it as it was.
    :param clear_number: how often tasks of the run were cleared; on Airflow 3.1 only where the run had ended.
    :param run_began: when the run began, after each end anew, in epoch seconds; 0 where that is not known.
    """

    max_tries: int = 0
    clear_number: int = 0
    run_began: float = 0.0

    def tell_clear(self, before: Counts) -> bool:
        """Tell whether the task was cleared since an earlier try; where that cannot be known, it was not.

        A run that began again had ended, and so waited for no retry; without a clear a person may have begun it again.
        """
        ended = 0.0 not in (before.run_began, self.run_began) and before.run_began != self.run_began
        return self.max_tries != before.max_tries or (ended and self.clear_number > before.clear_number)


@dataclass(frozen=True, slots=True)
class TaskTry:
    """Which task instance this is, and which try of it.

    :param max_tries: see :class:`Counts`, also for ``clear_number`` and ``run_began``.
    :param store: Airflow's task state store, None below 3.3 and outside of a task.
    :param delivery_key: the author's own name of what is sent once; None names the task instance.
    :param forget_on_clear: whether a clear starts a new delivery to everybody (``on_clear="resend"``).
    :param doubt_after: seconds after which what this try writes an intent for can no longer be under way: only then
        others may act on it.
    :param lasting: whether what it makes stays to be changed, as schedules do: then a ``delivery_key`` makes the same
        task one owner of it in all runs, and another audience or target is no error, see :class:`OpenLedger`.
    :param part_of: which part of how many it sends of an audience, see :class:`AudiencePart`.
    :param token: names this try, and no other.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    max_tries: int = 0
    clear_number: int = 0
    run_began: float = 0.0
    store: Any = None
    delivery_key: str | None = None
    forget_on_clear: bool = False
    doubt_after: float = 90.0
    lasting: bool = False
    part_of: Sequence[tuple[int, int]] = ()
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def counts(self) -> Counts:
        """What Airflow counts, as it is now."""
        return Counts(self.max_tries, self.clear_number, self.run_began)

    @property
    def has_siblings(self) -> bool:
        """Whether other mapped tasks send the other parts of the same: crossed with anything else, places differ."""
        return not self.lasting and len(self.part_of) == 1 and self.part_of[0][0] == self.map_index

    @property
    def name(self) -> str:
        """The task instance, the same on every try; in every run where it owns what lasts under a key."""
        run = "*" if self.lasting and self.delivery_key is not None else self.run_id
        return "/".join((self.dag_id, run, self.task_id, str(self.map_index)))


@dataclass(slots=True)
class Past:
    """What earlier tries of a task left in the ledger.

    :param began: when the delivery began, ISO 8601; None where nothing was sent yet.
    :param cleared: whether somebody cleared the task since.
    :param other_run: whether another run of the task was the last one to open it.
    :param accepted: how many recipients Braze took on.
    :param accepted_requests: in how many requests.
    :param refused: how many recipients of these Braze refused by name.
    :param doubtful_requests: how many of its requests are in doubt.
    :param doubtful: how many recipients these have.
    :param schedule_ids: of its accepted requests, all of them.
    :param dispatch_ids: of its accepted requests, up to a bound.
    :param note: as in :class:`OpenLedger`, where the ledger is not opened.
    """

    began: str | None = None
    cleared: bool = False
    other_run: bool = False
    accepted: int = 0
    accepted_requests: int = 0
    refused: int = 0
    doubtful_requests: int = 0
    doubtful: int = 0
    schedule_ids: list[str] = field(default_factory=list)
    dispatch_ids: list[str] = field(default_factory=list)
    note: dict[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nobody was messaged, and nobody is in doubt."""
        return self.accepted_requests + self.doubtful_requests == 0


@dataclass(frozen=True, slots=True)
class Intent:
    """A wish to send one request.

    :param request: the request; its recipients are counted from 0 below. One without recipients, such as a broadcast,
        counts as having a single one.
    :param take_doubt: whether recipients in doubt are to be sent to once more.
    """

    request: PlannedRequest
    take_doubt: bool = False


@dataclass(slots=True)
class Claim:
    """The ledger's answer: who of a request may be sent to now. The six kinds never overlap.

    :param ticket: names the intent that is now durable, for the settlement; None where ``free`` is empty.
    :param free: places of the recipients to send to.
    :param accepted: how many Braze took on before.
    :param refused: how many Braze refused by name before, in a request of this task that it took on.
    :param refused_elsewhere: the same, in a request of another task or run.
    :param doubt: places of the recipients in doubt.
    :param since: when the first intent for those in doubt was written, in epoch seconds; a taken doubt keeps it.
    :param left_by: by when the latest request to those in doubt had left, in epoch seconds, perhaps in the future.
    :param took_doubt: whether some of ``free`` were in doubt before.
    :param held: places of the recipients whom another worker has under way at this moment.
    """

    ticket: Any = None
    free: Sequence[int] = ()
    accepted: int = 0
    refused: int = 0
    refused_elsewhere: int = 0
    doubt: Sequence[int] = ()
    since: float = field(default_factory=time.time)
    left_by: float = field(default_factory=time.time)
    took_doubt: bool = False
    held: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an intent.

    ``ACCEPTED`` and ``UNKNOWN`` are kept; after ``NOT_SENT`` and ``FAILED`` its recipients are free again, as if there
    had been no intent.

    :param refused: how many of an accepted request's recipients Braze refused by name.
    """

    ticket: Any
    outcome: Outcome
    refused: int = 0
    schedule_id: str | None = None
    dispatch_id: str | None = None


class OpenLedger(ABC):
    """One try's view of the ledger; all other tries of the same task are shut out by opening it.

    ``generation`` rises with each clear that began a new delivery to everybody, and stays the same on its retries.
    ``note`` is what was kept of a lasting delivery. ``stranger`` is the error for another audience or target than the
    ledger was begun for; of a lasting delivery it is not raised, since what was made may be taken back and forgotten.
    """

    past: Past
    generation: int = 0
    note: dict[str, Any] | None = None
    stranger: BrazeAudienceError | None = None

    @abstractmethod
    def write(self, intents: Sequence[Intent], settlements: Sequence[Settlement]) -> list[Claim]:
        """Make settlements and then intents durable, all in one go; answers one claim per intent.

        :raises BrazeLedgerError: it cannot be written, or a later try has taken over. None of the intents may be sent.
        """

    def keep_note(self, note: dict[str, Any]) -> None:
        """Make a note durable, in the place of the one before.

        :raises BrazeLedgerError: it cannot be written, or a later try has taken over.
        """
        raise NotImplementedError

    def forget(self, schedule_ids: Collection[str]) -> None:
        """Free the recipients of requests whose schedules are gone; ``past`` knows them no longer.

        :raises BrazeLedgerError: it cannot be written, or a later try has taken over.
        """
        raise NotImplementedError

    def restart(self) -> None:
        """Begin a new delivery to everybody: nothing of the one before counts, its note and doubts neither.

        :raises BrazeLedgerError: it cannot be written, or a later try has taken over.
        """
        raise NotImplementedError

    def hurry(self) -> None:  # noqa: B027 (most do not wait)
        """Wait no longer than need be for a store that is away: the task is to stop. Any thread may call it."""

    def close(self) -> None:  # noqa: B027 (most have nothing to let go)
        """Let go of connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Ledger(ABC):
    """Where deliveries are remembered."""

    shared: bool = False
    """Whether other tasks, runs and DAGs see it, so that a ``delivery_key`` has a meaning."""

    @abstractmethod
    def look_back(self, task: TaskTry) -> Past:
        """Tell what earlier tries of a task left, where there is no plan to open it for, and change nothing.

        Whoever opens it next must see a clear still. Recipients need not be counted, requests are.

        :raises BrazeLedgerError: it cannot be read.
        """

    @abstractmethod
    def count_known(self, task: TaskTry, plan: Plan) -> int:
        """Count a plan's recipients of whom it knows, whatever it knows, and change nothing.

        A single request without a list counts as one. Where a clear begins a new delivery nobody is known.

        :raises BrazeLedgerError: it cannot be read.
        """

    @abstractmethod
    def open(self, task: TaskTry, plan: Plan) -> OpenLedger:
        """Look up what earlier tries did, and shut them out.

        :raises BrazeLedgerError: it cannot be read.
        :raises BrazeAudienceError: the ledger was begun for another audience, and not of a lasting delivery.
        """
