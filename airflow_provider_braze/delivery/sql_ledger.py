"""SqlLedger: deliveries remembered in a SQL database, recipient by recipient.

PostgreSQL in earnest, SQLite to try. Whatever the order of an audience, a ``delivery_key`` reaches everybody once:
across tries, runs, backfills, DAGs and workers. Four tables, made on first use, times in epoch seconds:

- ``<prefix>_deliveries``: the keys; ``id`` is a hash of ``delivery_key``;
- ``<prefix>_tries``: which try of a task may write: the one whose ``token`` it holds; and a ``note`` of what is
  scheduled, see :mod:`airflow_provider_braze.delivery.schedules`;
- ``<prefix>_requests``: ``state`` is ``intent``, ``unknown`` (in doubt) or ``accepted``;
- ``<prefix>_recipients``: who belongs to which request, as a hash. No table names a person.

Who is in doubt, request by request::

    SELECT delivery_key, task, place, recipients, to_timestamp(first_intent_at) AS since FROM braze_ledger_requests r
    JOIN braze_ledger_deliveries d ON d.id = r.delivery WHERE state <> 'accepted' ORDER BY first_intent_at;

To forget old deliveries, delete their recipients and their requests by ``delivery``, both in one transaction: a
delivery stops where people are left whose request is gone.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_braze.api.errors import BrazeConfigurationError
from airflow_provider_braze.delivery.errors import BrazeAudienceError, BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Claim, Counts, Intent, Ledger, OpenLedger, Past, Settlement, TaskTry
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.report import MOST_IDS
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.sql_checks import refuse_new_key, refuse_other_broadcast, refuse_other_list
from airflow_provider_braze.delivery.sql_claims import Wish, answer, refuse_orphans
from airflow_provider_braze.delivery.sql_names import EVERYBODY, delivery_name, hashes_of, number_of
from airflow_provider_braze.delivery.sql_store import SqlStore

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult, Row

_KEPT = {Outcome.ACCEPTED: "accepted", Outcome.UNKNOWN: "unknown"}
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,39}", re.ASCII)
_TAKEN_OVER = "Another try of this task has taken over, this worker sends nothing more."


@dataclass
class SqlLedger(Ledger):
    """Remembers deliveries in a database of yours, everybody by a hash; its tables are made on first use.

    :param conn_id: Airflow connection of a PostgreSQL database, or of a SQLite file to try it. (templated)
    :param table_prefix: begins the names of its four tables: small letters, digits and underscores, 40 at most. Two
        Airflows that keep their ledgers in one database need one each: deliveries without a ``delivery_key`` are named
        by DAG, run, task and map index, which are the same in both for a scheduled run of the same DAG.
    :raises BrazeConfigurationError: ``table_prefix`` is no such name.
    """

    conn_id: str
    _: KW_ONLY
    table_prefix: str = "braze_ledger"

    shared = True
    template_fields: ClassVar[Sequence[str]] = ("conn_id",)

    def __post_init__(self) -> None:
        if not isinstance(self.table_prefix, str) or not _PREFIX.fullmatch(self.table_prefix):
            raise BrazeConfigurationError(
                "table_prefix takes small letters, digits and underscores, 40 at most, not beginning with a digit: "
                f"it is {self.table_prefix!r}."
            )

    def open(self, task: TaskTry, plan: Plan) -> OpenLedger:
        """Make the tables where they are missing, look up what earlier tries did, and shut them out.

        :raises BrazeConfigurationError: the connection is missing, or of no database that it can use.
        :raises BrazeLedgerError: the database cannot be reached or written.
        """
        return _OpenSqlLedger(SqlStore(self.conn_id, self.table_prefix), task, plan)

    def look_back(self, task: TaskTry) -> Past:
        """Look up what earlier tries left."""
        with closing(SqlStore(self.conn_id, self.table_prefix)) as store:
            return store.transact(partial(_find_past, store, task))

    def count_known(self, task: TaskTry, plan: Plan) -> int:
        """Look up those who belong to a request, of any task that shares the key."""
        with closing(SqlStore(self.conn_id, self.table_prefix)) as store:
            return store.transact(partial(_count_known, store, task, plan))


class _OpenSqlLedger(OpenLedger):
    def __init__(self, store: SqlStore, task: TaskTry, plan: Plan) -> None:
        self._store, self._task, self._endpoint, self._target = store, task, plan.endpoint, plan.target
        self._first = [person for request in islice(plan, 20) for person in self._hashes(request)]
        self._names: dict[str, Any] = {"base": number_of(delivery_name(task)), "task": task.name, "token": task.token}
        self.past = Past()
        self._met: dict[int, set[str]] = {}
        try:
            self._store.transact(self._open)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._store.close()

    def write(self, intents: Sequence[Intent], settlements: Sequence[Settlement]) -> list[Claim]:
        """Write all in one transaction; those that free recipients have one of their own before."""
        wishes = [Wish(intent, self._hashes(intent.request)) for intent in intents]
        # Who waits for recipients while it has deleted others could wait in a circle.
        if any(settlement.outcome not in _KEPT for settlement in settlements):
            self._store.transact(partial(self._write, [], settlements))
            settlements = ()
        try:
            claims = self._store.transact(partial(self._write, wishes, settlements)) if wishes or settlements else []
        except BrazeLedgerError as error:
            if error.settled and settlements:
                self._store.transact(partial(self._write, [], settlements))
            raise
        if claims is None:
            raise BrazeLedgerError(_TAKEN_OVER, settled=True)
        return claims

    def hurry(self) -> None:
        """Wait for a database that is away no longer than for one that may be the wrong one."""
        self._store.hurried.set()

    def keep_note(self, note: dict[str, Any]) -> None:
        """Write it beside the token, which it needs."""
        self._own("keep_note", note=json.dumps(note))
        self.note = note

    def forget(self, schedule_ids: Collection[str]) -> None:
        """Delete the requests and their recipients' rows."""
        rows = [{"schedule_id": schedule_id} for schedule_id in schedule_ids]
        self._store.transact(partial(self._forget, rows))

    def restart(self) -> None:
        """Leave the rows of the delivery before behind, under a key of their own."""
        self.generation += 1
        self._own("restart", generation=self.generation, target=self._target)
        self.note = self.stranger = None
        self._store.transact(self._begin)

    def _own(self, name: str, **parameters: Any) -> None:
        if not self._store.transact(lambda connection: self._run(connection, name, **parameters).rowcount):
            raise BrazeLedgerError(_TAKEN_OVER)

    def _forget(self, rows: list[dict[str, Any]], connection: Connection) -> None:
        if self._run(connection, "fence").scalar() != self._task.token:
            raise BrazeLedgerError(_TAKEN_OVER)
        if rows:
            self._run(connection, "forget_recipients", rows)
            self._run(connection, "forget_requests", rows)
        self._look_back(connection)

    def _write(
        self, wishes: list[Wish], settlements: Sequence[Settlement], connection: Connection
    ) -> list[Claim] | None:
        token = self._run(connection, "fence").scalar()
        if settlements:
            self._settle(connection, settlements)
        if not wishes:
            return []
        return self._claim(connection, wishes) if token == self._task.token else None

    def _open(self, connection: Connection) -> None:
        self._run(connection, "limits")
        self._store.make_tables(connection)
        task = self._task
        counts = task.counts._asdict()
        # A part that there was not before a clear begins anew with the others.
        joins = self._run(connection, "add_try", **counts, run=task.run_id, target=self._target).rowcount > 0
        joins &= task.has_siblings and task.clear_number > 0
        earlier = self._run(connection, "read_try").one()
        target = self._target
        run = partial(self._run, connection)
        refuse_new_key(run, task)
        # Once true they stay so: the commit of an attempt may have been lost on the way back only.
        self.past.other_run |= earlier.run != task.run_id
        before = Counts(earlier.max_tries, earlier.clear_number, earlier.run_began)
        cleared = earlier.run == task.run_id and task.counts.tell_clear(before)
        self.past.cleared |= cleared
        forgets = (cleared or joins) and task.forget_on_clear
        last = earlier.generation if joins else max(earlier.generation, earlier.clear_number)
        self.generation = self._next_generation(connection, earlier.generation, last) if forgets else earlier.generation
        self.note = json.loads(earlier.note) if earlier.note else None
        self._begin(connection)
        # An author's own key means what it says, whatever it was used for before.
        if task.delivery_key is None and self.past.began and earlier.target != target:
            self.stranger = BrazeAudienceError(
                f"An earlier try of this task sent {earlier.target}, it is {target} now: nothing was sent. "
                "Change it back to go on with the rest; a new run of the DAG sends to everybody."
            )
            if not task.lasting:
                raise self.stranger
            target = earlier.target
        if self._first == [EVERYBODY] and self.past.began and not task.lasting:
            refuse_other_broadcast(target, earlier.target)
        refuse_other_list(run, task, self.past, self._first)
        self._run(connection, "take_over", **counts, run=task.run_id, generation=self.generation, target=target)

    def _next_generation(self, connection: Connection, generation: int, after: int) -> int:
        """Join the tasks of this run that were cleared since this one's last try, or begin what they join.

        Each clear in a run raises ``clear_number``, so that one number is all that tasks cleared together have in
        common; it may rise once more before the last of them begins.
        """
        task = self._task
        shared = {"run": task.run_id, "clear_number": task.clear_number, "after": after}
        # On Airflow 3.1 a clear in a run that goes on does not raise it.
        own = max(task.clear_number, generation + 1)
        return int(self._run(connection, "find_sharing", **shared).scalar() or own)

    def _begin(self, connection: Connection) -> None:
        """Go to the delivery of this generation, and look back at what is known of it."""
        key = delivery_name(self._task, self.generation)
        self._names["delivery"] = number_of(key)
        self._run(connection, "add_delivery", delivery_key=key)
        self._run(connection, "doubt")
        self._look_back(connection)

    def _look_back(self, connection: Connection) -> None:
        past = _read_past(partial(self._run, connection))
        past.dispatch_ids = list(self._run(connection, "dispatch_ids", most=MOST_IDS).scalars())
        self.past = replace(past, cleared=self.past.cleared, other_run=self.past.other_run)

    def _settle(self, connection: Connection, settlements: Sequence[Settlement]) -> None:
        rows = [
            {
                "id": settlement.ticket.request,
                "state": _KEPT.get(settlement.outcome, "unknown"),
                "refused": settlement.refused,
                "left_by": settlement.ticket.left_by,
                "schedule_id": settlement.schedule_id,
                "dispatch_id": settlement.dispatch_id,
            }
            for settlement in settlements
        ]
        self._run(connection, "settle", rows)
        released = [settlement.ticket for settlement in settlements if settlement.outcome not in _KEPT]
        if released:
            new = [{"recipient": person, "request": ticket.request} for ticket in released for person in ticket.new]
            self._shrink(connection, self._run(connection, "release", new).scalars())

    def _shrink(self, connection: Connection, owners: Iterable[int]) -> None:
        """Take recipients off the counts of requests, which owned one recipient for each time they are named."""
        rows = [{"id": request, "people": people} for request, people in sorted(Counter(owners).items())]
        if rows:
            self._run(connection, "shrink", rows)
            self._run(connection, "drop_empty", rows)

    def _claim(self, connection: Connection, wishes: list[Wish]) -> list[Claim]:
        people = [(wish, place) for wish in wishes for place in range(len(wish.people))]
        rows: list[dict[str, Any]] = [
            {"recipient": wish.people[place], "request": wish.request, "number": number}
            for number, (wish, place) in enumerate(people)
        ]
        # All workers go through their recipients in the same order, so they never wait for each other in a circle.
        rows.sort(key=itemgetter("recipient"))
        found: dict[int, Row[Any]] | None = None
        if self._run(connection, "claim", rows).rowcount < len(rows):
            # Whoever is missing was let go by another worker since the claim, and counts as held: to claim again while
            # others are claimed could wait in a circle.
            found = self._look_up(connection, rows)
            if doubts := [
                row for row in found.values() if row.state == "unknown" and people[row.number][0].intent.take_doubt
            ]:
                found = self._take(connection, people, doubts, rows)
            refuse_orphans(wishes, found.values(), self._store.prefix)
        claims, numbers = [], iter(range(len(people)))
        for wish in wishes:
            owners = None if found is None else [found.get(next(numbers)) for _ in wish.people]
            claims.append(answer(wish, owners, self._met))
            if wish.people == [EVERYBODY] and not claims[-1].free:
                self._check_broadcast(connection)
        self._intend(connection, wishes, claims)
        return claims

    def _check_broadcast(self, connection: Connection) -> None:
        for earlier in self._run(connection, "broadcast", recipient=EVERYBODY).scalars():
            refuse_other_broadcast(self._target, earlier)

    def _look_up(self, connection: Connection, rows: list[dict[str, Any]]) -> dict[int, Row[Any]]:
        return {row.number: row for row in self._run(connection, "look_up", rows)}

    def _take(
        self,
        connection: Connection,
        people: list[tuple[Wish, int]],
        doubts: list[Row[Any]],
        rows: list[dict[str, Any]],
    ) -> dict[int, Row[Any]]:
        """Take over recipients in doubt, as far as their requests are not settled or taken at this moment."""
        wanted = []
        for row in doubts:
            wish, place = people[row.number]
            wanted.append({"recipient": wish.people[place], "request": wish.request, "previous": row.request})
        self._run(connection, "lock", wanted)
        self._run(connection, "take", wanted)
        found = self._look_up(connection, rows)
        moved = [row for row in doubts if row.number in found and found[row.number].state == "mine"]
        for row in moved:
            wish, place = people[row.number]
            wish.taken[place] = row
        self._shrink(connection, (row.request for row in moved))
        return found

    def _intend(self, connection: Connection, wishes: list[Wish], claims: list[Claim]) -> None:
        """Write the requests last, so that waiting for others does not make their intents look old."""
        rows = [
            {
                "id": wish.request,
                "place": wish.intent.request.place,
                "people": len(claim.free),
                "since": claim.since if wish.taken else None,
                "left_by": wish.left_by,
            }
            for wish, claim in zip(wishes, claims, strict=True)
            if claim.free
        ]
        if rows:
            self._run(connection, "intend", rows, doubt_after=self._task.doubt_after)

    def _run(self, connection: Connection, name: str, rows: Any = None, **parameters: Any) -> CursorResult[Any]:
        return self._store.run(connection, name, rows, **self._names, **parameters)

    def _hashes(self, request: PlannedRequest) -> list[str]:
        return hashes_of(self._endpoint, request)


def _find_past(store: SqlStore, task: TaskTry, connection: Connection) -> Past:
    names: dict[str, Any] = {"base": number_of(delivery_name(task)), "task": task.name}
    earlier = store.run(connection, "find_try", **names).first() if store.has_tables(connection) else None
    if earlier is None:
        return Past()
    names["delivery"] = number_of(delivery_name(task, earlier.generation))
    past = _read_past(partial(store.run, connection, **names))
    past.note = json.loads(earlier.note) if earlier.note else None
    past.other_run = earlier.run != task.run_id
    before = Counts(earlier.max_tries, earlier.clear_number, earlier.run_began)
    past.cleared = not past.other_run and task.counts.tell_clear(before)
    return past


def _count_known(store: SqlStore, task: TaskTry, plan: Plan, connection: Connection) -> int:
    if not store.has_tables(connection):
        return 0
    names: dict[str, Any] = {"base": number_of(delivery_name(task)), "task": task.name}
    earlier = store.run(connection, "find_try", **names).first()
    if earlier and task.forget_on_clear and _find_past(store, task, connection).cleared:
        return 0
    delivery, count = number_of(delivery_name(task, earlier.generation if earlier else 0)), 0
    every = iter(plan)
    while requests := list(islice(every, 20)):
        rows = [{"recipient": person} for request in requests for person in hashes_of(plan.endpoint, request)]
        count += store.run(connection, "count_known", rows, delivery=delivery).scalar_one()
    return count


def _read_past(run: Callable[..., CursorResult[Any]]) -> Past:
    found = run("past").one()
    began = datetime.fromtimestamp(found.began, UTC).isoformat(timespec="seconds") if found.began else None
    return Past(
        began,
        accepted=found.accepted,
        refused=found.refused,
        accepted_requests=found.accepted_requests,
        doubtful_requests=found.doubtful_requests,
        doubtful=found.doubtful,
        schedule_ids=list(run("schedule_ids").scalars()),
    )
