"""TaskStateLedger: a delivery remembered in Airflow's own task state (Airflow 3.3 and newer).

One task instance wide: retries, deferrals and clears of a task see it, other runs do not. Three kinds of keys:

- ``braze/delivery``: when it began, and for what;
- ``braze/delivery/<generation>/<n>``: 200 requests each: ``s`` one letter per request (``?`` intent, ``u`` in doubt,
  ``a`` accepted, ``.`` free), ``d`` eight digits of the digest of its recipients, ``t`` when the first intent of those
  in doubt was written, ``l`` by when the latest request to them has left, ``i`` schedule or dispatch ids, ``f`` how
  many recipients Braze refused by name;
- ``braze/delivery/<generation>/note``: what is scheduled, see :mod:`airflow_provider_braze.delivery.schedules`.

It knows requests by their place. A try whose audience differs in a request that was begun is stopped, or told so where
it scheduled them; what comes after those may differ.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Claim, Counts, Intent, Ledger, OpenLedger, Past, Settlement, TaskTry
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.report import MOST_IDS

HEAD = "braze/delivery"
RESULT = "braze/result"
"""What a task that prepares a send gave at first."""
# A value of 64 KB draws a warning; 200 requests with a schedule id each have about 12 KB.
REQUESTS_A_KEY = 200
_FREE, _INTENT, _DOUBT, _ACCEPTED = b".?ua"


@dataclass(frozen=True)
class TaskStateLedger(Ledger):
    """The default ledger where Airflow has a task state store: nothing to set up, one task instance wide.

    The audience must be the same, in the same order, on every try, as far as it was sent; order SQL queries, and read
    tables that may change meanwhile with a :class:`~airflow_provider_braze.delivery.sql_ledger.SqlLedger`.
    """

    def open(self, task: TaskTry, plan: Plan) -> OpenLedger:
        """Read what earlier tries left; a lost worker is shut out by Airflow, which knows its try no longer."""
        if task.store is None:
            raise BrazeConfigurationError(
                "TaskStateLedger needs Airflow 3.3 or newer and a running task, nothing was sent. Use "
                "ledger=SqlLedger(conn_id) instead."
            )
        return _OpenTaskState(task, plan)

    def look_back(self, task: TaskTry) -> Past:
        """Read what earlier tries kept."""
        head = read(task.store, HEAD) if task.store is not None else None
        if not head:
            return Past()
        ids: dict[int, str] = {}
        states = b""
        for value in _values(task.store, head):
            ids |= {int(place): known for place, known in value["i"].items()}
            states += value["s"].encode()
        return Past(
            began=head["began"],
            cleared=task.counts.tell_clear(Counts(*head.get("counts", task.counts))),
            accepted_requests=states.count(_ACCEPTED),
            doubtful_requests=states.count(_INTENT) + states.count(_DOUBT),
            schedule_ids=[ids[place] for place in sorted(ids)] if task.lasting else [],
            note=read(task.store, _note_key(head["generation"])) if task.lasting else None,
        )

    def count_known(self, task: TaskTry, plan: Plan) -> int:
        """Count those of requests that were begun."""
        head = read(task.store, HEAD) if task.store is not None else None
        if not head or (task.forget_on_clear and task.counts.tell_clear(Counts(*head.get("counts", task.counts)))):
            return 0
        states = b"".join(value["s"].encode() for value in _values(task.store, head))[: len(plan)]
        return sum(plan.recipients(place) or 1 for place, state in enumerate(states) if state != _FREE)


def _values(store: Any, head: dict[str, Any]) -> Iterator[dict[str, Any]]:
    number = 0
    while (value := read(store, f"{HEAD}/{head['generation']}/{number}")) is not None:
        yield value
        number += 1


def _note_key(generation: int) -> str:
    return f"{HEAD}/{generation}/note"


def is_marked(store: Any) -> bool:
    """Tell whether a try of this task came by before."""
    return read(store, HEAD) is not None


def has_begun(store: Any) -> bool:
    """Tell whether a try of this task began to send."""
    return bool((read(store, HEAD) or {}).get("began"))


def mark(store: Any, counts: Counts) -> None:
    """Note that a try of this task came by, which has sent nothing yet."""
    write(store, HEAD, {"began": None, "for": "", "generation": 0, "counts": list(counts)})


def write(store: Any, key: str, value: Any) -> None:
    """Write a key of Airflow's task state.

    :raises BrazeLedgerError: it cannot be written.
    """
    from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

    try:
        # A ledger that expired would let everybody be messaged again.
        store.set(key, value, retention=NEVER_EXPIRE)
    except Exception as error:
        raise BrazeLedgerError(
            f"Airflow's task state cannot be written, nothing more is sent: {error}. This worker may have lost its "
            "task to another try."
        ) from error


def read(store: Any, key: str) -> Any:
    """Read a key of Airflow's task state.

    :raises BrazeLedgerError: it cannot be read.
    """
    try:
        return store.get(key)
    except Exception as error:
        raise BrazeLedgerError(f"Airflow's task state cannot be read, nothing was sent: {error}") from error


class _OpenTaskState(OpenLedger):
    def __init__(self, task: TaskTry, plan: Plan) -> None:
        self._store, self._plan = task.store, plan
        self._doubt_after = task.doubt_after
        self._lasting = task.lasting
        self._states = bytearray([_FREE]) * len(plan)
        # What was begun for other recipients keeps their digest until it is forgotten.
        self._digests: dict[int, str] = {}
        self._since: dict[int, float] = {}
        self._left_by: dict[int, float] = {}
        # Of those whose doubt this try took over: by when earlier requests to them had left.
        self._taken: dict[int, float] = {}
        self._ids: dict[int, str] = {}
        self._refused: dict[int, int] = {}
        head = read(self._store, HEAD)
        self._begun = head is not None
        self._head: dict[str, Any] = head or {"began": None, "for": plan.target, "generation": 0}
        known = Counts(*self._head.get("counts", task.counts))
        cleared = task.counts.tell_clear(known)
        self._head["counts"] = list(task.counts)
        if cleared and task.forget_on_clear:
            self._head |= {"generation": self._head["generation"] + 1, "for": plan.target, "began": None}
        if self._begun and known != task.counts:
            write(self._store, HEAD, self._head)
        self.generation = self._head["generation"]
        self._load()
        self.note = read(self._store, _note_key(self.generation)) if self._begun and task.lasting else None
        if self._head["for"] != plan.target and self.stranger is None:
            self._head |= {"for": plan.target, "began": None}
        self.past = self._past(cleared)

    def write(self, intents: Sequence[Intent], settlements: Sequence[Settlement]) -> list[Claim]:
        """Change the states in memory, then write each key that changed."""
        dirty = {self._settle(settlement) for settlement in settlements}
        claims = [self._claim(intent) for intent in intents]
        dirty |= {claim.ticket for claim in claims if claim.ticket is not None}
        if dirty and not self._head["began"]:
            self._head["began"] = datetime.now(UTC).isoformat(timespec="seconds")
            write(self._store, HEAD, self._head)
        self._write_places(dirty)
        return claims

    def keep_note(self, note: dict[str, Any]) -> None:
        """Write the key of the note, and the head where there is none yet, without which nothing is read."""
        if not self._head["began"]:
            self._head |= {"began": datetime.now(UTC).isoformat(timespec="seconds"), "for": self._plan.target}
            write(self._store, HEAD, self._head)
        write(self._store, _note_key(self.generation), note)
        self.note = note

    def forget(self, schedule_ids: Collection[str]) -> None:
        """Free their places."""
        gone = set(schedule_ids)
        places = {place for place, known in self._ids.items() if known in gone}
        for place in places:
            self._states[place] = _FREE
            for kept in (self._ids, self._refused, self._digests):
                kept.pop(place, None)
        self._write_places(places)
        self.past = self._past(self.past.cleared)

    def restart(self) -> None:
        """Leave the keys of the delivery before behind."""
        self.generation += 1
        self._head |= {"generation": self.generation, "for": self._plan.target, "began": None}
        write(self._store, HEAD, self._head)
        self._states = bytearray([_FREE]) * len(self._plan)
        for kept in (self._digests, self._since, self._left_by, self._ids, self._refused):
            kept.clear()
        self.note = self.stranger = None
        self.past = self._past(self.past.cleared)

    def _write_places(self, places: Collection[int]) -> None:
        # In their order, so that reading may stop at the first key that is not there.
        for number in sorted({place // REQUESTS_A_KEY for place in places}):
            write(self._store, self._key(number), self._value(number))

    def _settle(self, settlement: Settlement) -> int:
        place: int = settlement.ticket
        match settlement.outcome:
            case Outcome.ACCEPTED:
                self._states[place] = _ACCEPTED
                known = settlement.schedule_id or (settlement.dispatch_id if place < MOST_IDS else None)
                if known:
                    self._ids[place] = known
                if settlement.refused:
                    self._refused[place] = settlement.refused
            case Outcome.UNKNOWN:
                self._states[place] = _DOUBT
            case _:
                self._states[place] = _DOUBT if place in self._taken else _FREE
        taken_left_by = self._taken.pop(place, 0.0)
        if self._states[place] == _DOUBT:
            self._left_by[place] = max(time.time(), taken_left_by)
        else:
            self._since.pop(place, None)
            self._left_by.pop(place, None)
        return place

    def _claim(self, intent: Intent) -> Claim:
        request, place = intent.request, intent.request.place
        people = range(request.people)
        if self._states[place] == _ACCEPTED:
            refused = self._refused.get(place, 0)
            return Claim(accepted=request.people - refused, refused=refused)
        if self._states[place] != _FREE:
            left_by = self._left_by.get(place, self._since[place])
            if not intent.take_doubt:
                return Claim(doubt=people, since=self._since[place], left_by=left_by)
            self._taken[place] = max(left_by, self._taken.get(place, 0.0))
        now = time.time()
        self._states[place] = _INTENT
        # Should this worker die, its request may have waited before it left.
        self._left_by[place] = max(now + self._doubt_after, self._taken.get(place, 0.0))
        self._digests[place] = self._digest(place)
        since = self._since.setdefault(place, now)
        return Claim(ticket=place, free=people, since=since, took_doubt=place in self._taken)

    def _load(self) -> None:
        number = 0
        while self._begun and (value := read(self._store, self._key(number))) is not None:
            first = number * REQUESTS_A_KEY
            states = value["s"].encode()
            for offset, state in enumerate(states):
                if state != _FREE:
                    self._digests[first + offset] = value["d"][8 * offset : 8 * offset + 8]
                    self._check(first + offset)
            if not self._lasting:
                states = states[: len(self._states) - first]
            self._states[first : first + len(states)] = states
            self._since |= {int(place): since for place, since in value["t"].items()}
            self._left_by |= {int(place): left_by for place, left_by in value.get("l", {}).items()}
            self._ids |= {int(place): known for place, known in value["i"].items()}
            self._refused |= {int(place): refused for place, refused in value["f"].items()}
            number += 1

    def _check(self, place: int) -> None:
        known = self._head["for"]
        if self._plan.target != known:
            error = BrazeAudienceError(
                f"An earlier try of this task sent {known}, it is {self._plan.target} now: nothing was "
                "sent. Change it back to go on with the rest; a new run of the DAG sends to everybody."
            )
        elif self._digest(place) != self._digests[place]:
            error = BrazeAudienceError(
                f"The audience is another one than in the try before: request {place + 1:,} would go to other people, "
                "so that it is not known who was messaged. Nothing was sent now. Give the same recipients in the same "
                "order on every try (ORDER BY, a table that does not change). For other runs there is "
                "ledger=SqlLedger(conn_id), which knows recipients one by one. A new run of the DAG sends to everybody "
                "again."
            )
        else:
            return
        if not self._lasting:
            raise error
        self.stranger = self.stranger or error

    def _past(self, cleared: bool) -> Past:
        doubts = [place for place, state in enumerate(self._states) if state in (_INTENT, _DOUBT)]
        done = [place for place, state in enumerate(self._states) if state == _ACCEPTED]
        known = [self._ids[place] for place in sorted(self._ids)]
        scheduled = self._plan.endpoint.name.endswith("_schedule_create")
        return Past(
            began=self._head["began"],
            cleared=cleared,
            accepted=sum(self._people(place) - self._refused.get(place, 0) for place in done),
            accepted_requests=len(done),
            refused=sum(self._refused.get(place, 0) for place in done),
            doubtful_requests=len(doubts),
            doubtful=sum(map(self._people, doubts)),
            schedule_ids=known if scheduled else [],
            dispatch_ids=[] if scheduled else known,
        )

    def _digest(self, place: int) -> str:
        digest = self._plan.digest(place)
        return "" if digest is None else f"{digest >> 32:08x}"

    def _people(self, place: int) -> int:
        return self._plan.recipients(place) if place < len(self._plan) else 0

    def _key(self, number: int) -> str:
        return f"{HEAD}/{self.generation}/{number}"

    def _value(self, number: int) -> dict[str, Any]:
        places = range(number * REQUESTS_A_KEY, min((number + 1) * REQUESTS_A_KEY, len(self._states)))
        free = "-" * 8
        return {
            "s": self._states[places.start : places.stop].decode(),
            "d": "".join(self._digests[place] if self._states[place] != _FREE else free for place in places),
            "t": {str(place): since for place, since in self._since.items() if place in places},
            "l": {str(place): left_by for place, left_by in self._left_by.items() if place in places},
            "i": {str(place): self._ids[place] for place in places if place in self._ids},
            "f": {str(place): self._refused[place] for place in places if place in self._refused},
        }
