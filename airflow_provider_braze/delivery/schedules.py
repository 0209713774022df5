"""Schedules as resources: what an earlier try or run scheduled becomes what is wanted now.

Beside the requests, the ledger keeps a note of what they scheduled. A try that finds schedules compares:

===========================================  ==========================================================================
what differs                                 what is done
===========================================  ==========================================================================
nothing                                      nothing; after a clear, or in another run, Braze is asked for each of them
                                             by an update that changes nothing
the time, or the ``messages``                all are updated
anything else, or a hold was broken          all are deleted, forgotten, and made anew: recipients and values of a
                                             schedule cannot be changed
===========================================  ==========================================================================

A schedule is forgotten, and made anew, once Braze has deleted it, or refuses to where somebody may have done so before.
Other refusals stop the task: what it asks for may be wrong, and the schedule wait still. Nothing is touched once the
first message may have gone out. The note says what is under way before it begins, so that a try which ends at any
instant is gone on from by the next one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_braze.api.errors import BrazeError, BrazeForbiddenError, BrazeUnauthorizedError
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeResumableError, DeliveryPausedError
from airflow_provider_braze.delivery.moments import first_moment, same_time
from airflow_provider_braze.delivery.schedule_calls import Called, ScheduleCalls

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.ledger import OpenLedger
    from airflow_provider_braze.delivery.plan import Plan

# Close to their time Braze changes and deletes schedules at its best effort only.
NEAR = 60.0
_PEOPLE = ("recipients", "external_user_ids", "user_aliases")
_PROGRAMS = ("campaign_id", "canvas_id")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """What is scheduled.

    :param connection: over which it was made.
    :param endpoint: that made it.
    :param program: the campaign's or Canvas's field, which changing and deleting need.
    :param schedules: Braze's schedule object; several while it is being changed, since any of them may count.
    :param messages: digest of ``messages``; empty while they are being changed.
    :param rest: digest of all else, the recipients among it, in any order.
    :param holding: whether the task waits deferred, and whoever ends that wishes the schedules away.
    :param leaving: whether they are being deleted.
    :param doubted: whether some may be deleted without the ledger knowing: by a person, or by a try that was cut short.
    :param aim: digest of what they are being updated to, empty where they are not.
    :param reached: the last of them that is updated, with all before it.
    """

    connection: str
    endpoint: str
    program: dict[str, str]
    schedules: list[dict[str, Any]]
    messages: str
    rest: str
    holding: bool = False
    leaving: bool = False
    doubted: bool = False
    aim: str = ""
    reached: str = ""

    @property
    def due(self) -> float:
        """From when on it is too late to change anything, in epoch seconds."""
        return first_moment(self.schedules) - NEAR

    def call(self, verb: str) -> tuple[str, dict[str, str]]:
        """Give the endpoint that updates or deletes it, with the field that says whose it is."""
        return self.endpoint.replace("_create", f"_{verb}"), self.program


def read_note(kept: Mapping[str, Any] | None) -> Note | None:
    """Read what :meth:`OpenLedger.keep_note` kept."""
    return None if kept is None else Note(**kept)


def note_of(plan: Plan, connection: str) -> Note:
    """Describe what a plan schedules."""
    shared: dict[str, Any] = {}
    total = 0
    for request in plan:
        shared = json.loads(request.body)
        for name in _PEOPLE:
            # A sum, since databases give rows in any order.
            total += sum(_number([name, person]) for person in shared.pop(name, None) or ())
    schedule, messages = shared.pop("schedule", None), shared.pop("messages", None)
    endpoint = plan.endpoint.name
    program = {name: shared[name] for name in _PROGRAMS if name in shared and not endpoint.startswith("messages")}
    rest = _number([endpoint, shared, str(total % (1 << 128))])
    digest = "" if messages is None else f"{_number(messages):032x}"
    return Note(connection, endpoint, program, [schedule] if schedule else [], digest, f"{rest:032x}")


def _number(value: Any) -> int:
    text = json.dumps(value, sort_keys=True).encode()
    return int.from_bytes(blake2b(text, digest_size=16).digest(), "big")


@dataclass(slots=True)
class Changes:
    """How many schedules of earlier tries were updated, and how many deleted."""

    updated: int = 0
    deleted: int = 0


def bring_about(
    plan: Plan, ledger: OpenLedger, calls: ScheduleCalls, connection: str, *, on_unknown: str, anew: bool, resumed: bool
) -> Changes:
    """Make of what an earlier try scheduled what is wanted now; what is new is left to the delivery.

    :param connection: over which the calls go.
    :param anew: whether a person wishes that all is scheduled anew.
    :param resumed: whether this try itself goes on after a deferral.
    :raises BrazeDeliveryError: it is too late to change it.
    :raises BrazeResumableError: not all of it could be changed; another try goes on.
    :raises DeliveryPausedError: the quota is used up for longer than this worker should wait.
    :raises BrazeAudienceError: whom the schedules are for cannot be known.
    """
    return _Change(plan, ledger, calls, note_of(plan, connection), resumed).run(on_unknown, anew)


def keep_holding(ledger: OpenLedger) -> None:
    """Note that the task is about to defer."""
    if ledger.note is not None:
        ledger.keep_note(asdict(replace(Note(**ledger.note), holding=True)))


class _Change:
    def __init__(self, plan: Plan, ledger: OpenLedger, calls: ScheduleCalls, wanted: Note, resumed: bool) -> None:
        self._plan, self._ledger, self._calls, self._wanted = plan, ledger, calls, wanted
        self._resumed = resumed
        self._changes = Changes()
        self._known = ledger.past.schedule_ids

    def run(self, on_unknown: str, anew: bool) -> Changes:
        """Decide, then do."""
        past, note, wanted = self._ledger.past, read_note(self._ledger.note), self._wanted
        broken = note is not None and note.holding and not self._resumed
        if note is not None and (broken or past.cleared or past.other_run):
            note = replace(note, doubted=True)
        if anew and (self._known or past.doubtful_requests):
            self._start_anew(note)
        elif past.doubtful_requests and on_unknown == "fail":
            # The delivery stops at the doubt, before it sends anything.
            return self._changes
        elif note is None and (self._ledger.stranger or self._known):
            raise self._ledger.stranger or self._trouble("The ledger lost its note of what they are: look into Braze.")
        elif note is not None and self._known:
            self._settle(note, on_unknown, broken)
        elif self._ledger.stranger:
            self._start_over(on_unknown)
        if self._ledger.note != asdict(wanted):
            self._ledger.keep_note(asdict(wanted))
        return self._changes

    def _settle(self, note: Note, on_unknown: str, broken: bool) -> None:
        wanted = self._wanted
        stranger, past = self._ledger.stranger, self._ledger.past
        changed = note.messages != wanted.messages or not _same(note, wanted)
        replaced = bool(stranger) or broken or note.leaving or note.rest != wanted.rest
        # Were it due while it is changed, nobody could tell which of them went out how.
        replaced |= changed and time.time() >= wanted.due
        if replaced or changed:
            self._check(note)
        if replaced:
            if stranger and past.doubtful_requests and on_unknown != "resend":
                raise stranger
            log.info("%s: all %s are deleted and made anew.", _why(note, broken), self._count())
            self._delete(note)
            if stranger:
                self._start_over(on_unknown)
        elif changed:
            self._update(note)
        elif note.doubted and time.time() < note.due:
            self._look_after(note)
        else:
            log.info("%s are in the ledger as they are wanted: nothing changes.", self._count())

    def _start_anew(self, note: Note | None) -> None:
        """Schedule to everybody again, as a person wished; what has not gone out yet is taken back."""
        if note is not None and self._known and time.time() < note.due:
            log.warning("The task was cleared, and on_clear='resend': %s are deleted and made anew.", self._count())
            self._delete(note)
        else:
            log.warning("The task was cleared, and on_clear='resend': everybody is scheduled to again.")
        self._ledger.restart()

    def _start_over(self, on_unknown: str) -> None:
        if self._ledger.stranger and self._ledger.past.doubtful_requests and on_unknown != "resend":
            raise self._ledger.stranger
        self._ledger.restart()

    def _check(self, note: Note) -> None:
        """Refuse what cannot be changed, before anything is."""
        if note.connection != self._wanted.connection:
            raise self._trouble(
                f"They were made over connection {note.connection!r}, this is {self._wanted.connection!r}, which may "
                "lead to another workspace. Nothing was changed: change braze_conn_id back, or delete them there."
            )
        if self._ledger.past.accepted_requests > len(self._known):
            raise self._trouble("Braze gave no id for some of them, so that they cannot be changed: look into Braze.")
        if time.time() >= note.due:
            self._too_late(note)

    def _delete(self, note: Note) -> None:
        # A try that is cut short from here on may have deleted any of them.
        self._ledger.keep_note(asdict(replace(note, leaving=True, doubted=True)))
        for called in self._take_back(note, list(self._known)):
            if called.refused:
                self._ledger.keep_note(asdict(replace(note, leaving=False)))
                self._refused(called, "delete", self._changes.deleted)
            if (called.errors or called.left) and not note.doubted:
                self._ledger.keep_note(asdict(replace(note, leaving=True, doubted=bool(called.lost))))
            self._go_on(called, note)

    def _take_back(self, note: Note, schedule_ids: list[str]) -> Iterator[Called]:
        endpoint, fields = note.call("delete")
        for called in self._calls.each(endpoint, fields, schedule_ids, note.due):
            if note.doubted:
                called.take_for_gone(schedule_ids)
            self._changes.deleted += len(called.done)
            self._ledger.forget(called.done + called.gone)
            yield called

    def _replace(self, refused: Mapping[str, BrazeError], note: Note) -> None:
        """Delete what Braze refuses to update, and what somebody may have deleted: it may as well wait still."""
        if not refused:
            return
        first = next(iter(refused.values()))
        log.warning("%d of them cannot be updated: they are deleted, and made anew. %s", len(refused), first)
        for called in self._take_back(note, list(refused)):
            self._go_on(called, note)

    def _update(self, note: Note) -> None:
        wanted = self._wanted
        endpoint, fields = note.call("update")
        content: dict[str, Any] = {**fields, "schedule": wanted.schedules[0]}
        if note.messages != wanted.messages:
            content["messages"] = self._plan.payload["messages"]
        unsure = replace(
            wanted,
            schedules=note.schedules + wanted.schedules,
            messages="",
            doubted=note.doubted,
            aim=note.aim,
            reached=note.reached,
        )
        log.info("The time or the content differs: %s are updated.", self._count())
        self._ledger.keep_note(asdict(unsure))
        ids = self._not_reached(note)
        self._changes.updated = len(self._known) - len(ids)
        for called in self._update_each(endpoint, content, ids, unsure):
            self._changes.updated += len(called.done)
            if called.refused and not note.doubted:
                if not self._changes.updated and not called.errors:
                    self._ledger.keep_note(asdict(note))
                self._refused(called, "update", self._changes.updated)
            self._replace(called.refused, unsure)
            self._go_on(called, unsure)

    def _not_reached(self, note: Note) -> list[str]:
        """Give those that are still to be updated: who goes on after a pause does not begin anew."""
        ids = list(self._known)
        goes_on = self._resumed and note.aim == self._aim and note.reached in ids
        return ids[ids.index(note.reached) + 1 :] if goes_on else ids

    @property
    def _aim(self) -> str:
        wanted = self._wanted
        return f"{_number([wanted.schedules, wanted.messages, wanted.rest]):032x}"

    def _update_each(self, endpoint: str, content: Mapping[str, Any], ids: list[str], note: Note) -> Iterator[Called]:
        """Update, and note how far it came; a worker is told so that another try has taken over."""
        reached = 0
        for called in self._calls.each(endpoint, content, ids, note.due):
            done = set(called.done)
            while reached < len(ids) and ids[reached] in done:
                reached += 1
            if reached:
                note = replace(note, aim=self._aim, reached=ids[reached - 1])
            self._ledger.keep_note(asdict(note))
            yield called

    def _look_after(self, note: Note) -> None:
        """Somebody may have deleted them since: an update to what they are changes nothing, and Braze refuses it."""
        endpoint, fields = note.call("update")
        refused: dict[str, BrazeError] = {}
        content = {**fields, "schedule": note.schedules[0]}
        count = self._count()
        # A clear is seen once: should this try not come to the end of it, the next one looks again.
        self._ledger.keep_note(asdict(note))
        stopped = False
        try:
            for called in self._update_each(endpoint, content, self._not_reached(note), note):
                refused |= called.refused
                called.raise_first()
                stopped |= bool(called.left)
        except (BrazeUnauthorizedError, BrazeForbiddenError) as error:
            text = f"Whether the {count} made before are still there could not be asked: {error}"
            log.warning(text)
            self._plan.report.notices.append(text)
        except BrazeError as error:
            raise self._trouble(f"Whether they are still there could not be asked. {error}", again=True) from error
        else:
            if stopped:
                raise self._stopped()
            log.info("%d of %s are as they are wanted: nothing changes.", len(self._known) - len(refused), count)
        self._replace(refused, note)

    def _refused(self, called: Called, verb: str, changed: int) -> NoReturn:
        """Stop where a refusal may as well mean that the task is wrong, and the schedules wait as before."""
        error = next(iter(called.refused.values()))
        done = f"{changed:,} others were {verb}d" if changed else "Nothing was changed"
        if called.lost:
            done += f", of {len(called.lost):,} it is not known"
        raise self._trouble(
            f"Braze refuses to {verb} {len(called.refused):,} of them, which may still go out: {error} {done}. If the "
            "task is wrong, correct it and clear it. If not, look into Braze: where they are gone, clear the task, "
            "which makes them anew."
        ) from error

    def _go_on(self, called: Called, note: Note) -> None:
        if called.errors:
            error = next(iter(called.errors.values()))
            text = f"Not all of them could be changed, another try goes on from here. {error}"
            raise self._trouble(text, again=True) from error
        if called.left:
            raise self._stopped()
        if called.late:
            self._too_late(note)

    def _stopped(self) -> BrazeDeliveryError:
        """Say why the calls stopped before their end: for a pause, or since a person wished it."""
        stop = self._calls.stop
        if stop.resume_after is None:
            return self._trouble(f"Not all of them could be changed, another try goes on: {stop.reason}.", again=True)
        report = self._plan.report
        report.schedule_ids = list(self._ledger.past.schedule_ids)
        return DeliveryPausedError(f"{stop.reason}.", report.as_dict(), stop.resume_after)

    def _too_late(self, note: Note) -> NoReturn:
        due = datetime.fromtimestamp(note.due + NEAR, UTC)
        raise self._trouble(
            f"Their first message goes out, or went out, at {due:%Y-%m-%d %H:%M:%S} UTC: some may have been sent, "
            "and nothing is changed that close to it. To schedule again on purpose, to everybody, start a new run of "
            "the DAG (with another delivery_key, where it has one), or write on_clear='resend' and clear this task."
        )

    def _trouble(self, text: str, *, again: bool = False) -> BrazeDeliveryError:
        report = self._plan.report
        report.schedule_ids = list(self._ledger.past.schedule_ids)
        kind = BrazeResumableError if again else BrazeDeliveryError
        return kind(f"An earlier try made {self._count()}. {text}", report.as_dict())

    def _count(self) -> str:
        count = len(self._known)
        return f"{count:,} schedule{'s' if count != 1 else ''}"


def _same(note: Note, wanted: Note) -> bool:
    return len(note.schedules) == len(wanted.schedules) == 1 and same_time(note.schedules[0], wanted.schedules[0])


def _why(note: Note, broken: bool) -> str:
    if note.leaving:
        return "An earlier try began to delete"
    return "Somebody ended the wait of this task" if broken else "What cannot be updated differs"
