"""Goes through the ids of schedules for a task, and remembers which of them it deleted."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from airflow_provider_braze.api.client import admit, encode, find_endpoint, validate
from airflow_provider_braze.api.errors import BrazeError, BrazeValidationError
from airflow_provider_braze.api.staging import StagingList
from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.schedule_calls import Called, ScheduleCalls
from airflow_provider_braze.delivery.task_state import read, write

DELETED = "braze/deleted"
MOST_NAMED = 10
_FORGOTTEN = (
    "\nAirflow remembers from 3.3 on what an earlier try of this task has deleted. Where there was one, look into "
    "Braze, and mark the task a success if none of them waits."
)
log = logging.getLogger(__name__)


class Deleted:
    """Which schedules a task has deleted, in Airflow's task state (3.3 and newer).

    Without one nothing is remembered: what Braze refuses may have been sent, so that a person is to look.

    :param store: the task state; None where there is none.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        kept = self._read() or {}
        self.done, self.unsure = set(kept.get("done", ())), set(kept.get("unsure", ()))

    @property
    def is_kept(self) -> bool:
        """Whether the next try will know of it."""
        return self._store is not None

    def note(self, total: Called, schedule_ids: Iterable[str]) -> None:
        """Note what became of all so far.

        :param schedule_ids: all that are to be deleted by this try.
        """
        done = self.done.union(total.done, total.gone)
        ahead = set(schedule_ids).difference(total.refused, total.errors, total.left)
        # A try that is cut short may have deleted those ahead; one that could delete none so far may be wrong in all.
        unsure = self.unsure.union(total.lost, ahead if total.done else ()) - done
        if self._store is None or not (done or unsure):
            return
        try:
            write(self._store, DELETED, {"done": sorted(done), "unsure": sorted(unsure)})
        except BrazeLedgerError as error:
            # To delete matters more; without it another try only asks for a person.
            log.warning("What is deleted could not be noted: %r", error.__cause__)

    def _read(self) -> Any:
        try:
            return None if self._store is None else read(self._store, DELETED)
        except BrazeLedgerError as error:
            log.warning("What earlier tries deleted is not known: %r", error.__cause__)
            return None


def check_call(endpoint: str, fields: Mapping[str, Any], schedule_ids: list[str], staging: StagingList | None) -> None:
    """Refuse what is wrong for all of them, before the first call.

    :param staging: the only people whom the connection may message; None for everybody.
    :raises BrazeValidationError: it breaks Braze's rules.
    :raises BrazeGuardError: it might message others.
    """
    if schedule_ids:
        row = find_endpoint(endpoint)
        admit(row, encode(row, validate(row, {**fields, "schedule_id": schedule_ids[0]})), staging)


def call_per_schedule(
    calls: ScheduleCalls, endpoint: str, fields: Mapping[str, Any], schedule_ids: list[str], deleted: Deleted
) -> dict[str, Any]:
    """Call an endpoint for each schedule, try all, and raise the first error at the end.

    :param fields: of the body, beside ``schedule_id``.
    :param deleted: what earlier tries deleted, which is not called for again; an empty one for updates.
    """
    wanted = [one for one in dict.fromkeys(schedule_ids) if one not in deleted.done]
    if len(wanted) < len(schedule_ids):
        log.info("%d schedules were deleted by an earlier try, or are named twice.", len(schedule_ids) - len(wanted))
    total = Called()
    for called in calls.each(endpoint, fields, wanted, math.inf):
        called.take_for_gone(deleted.unsure)
        total.add(called)
        deleted.note(total, wanted)
    if total.gone:
        log.warning("%d schedules are not there any more: deleted before, or sent meanwhile.", len(total.gone))
    log.info("%s: %d of %d schedules done.", endpoint, len(total.done) + len(total.gone), len(wanted))
    is_forgotten = endpoint.endswith("_delete") and not deleted.is_kept and total.refused
    _raise_failed(total, len(wanted), calls, _FORGOTTEN if is_forgotten else "")
    return {"schedule_ids": schedule_ids, "requests": len(wanted)}


def _raise_failed(total: Called, count: int, calls: ScheduleCalls, advice: str) -> None:
    failed = total.refused | total.errors
    left = f"{len(total.left)} were not called for: {calls.stop.reason}" if total.left else ""
    if failed:
        log.error("%d schedules failed: %s", len(failed), ", ".join(failed))
        others = f", {left or 'the others are done'}" if len(failed) < count else ""
        named = "".join(f"\n  - {name}: {error}" for name, error in islice(failed.items(), MOST_NAMED))
        more = f"\n  - and {len(failed) - MOST_NAMED} more, see the log" if len(failed) > MOST_NAMED else ""
        first = next(iter(failed.values()))
        first.args = (f"{len(failed)} of {count} schedules failed{others}:{named}{more}{advice}",)
        raise first
    if left:
        raise BrazeError(f"Of {count} schedules {left}.")


def read_ids(endpoint: str, given: str | Iterable[str] | None) -> list[str]:
    """Read schedule ids: one, a list, or a list as JSON text. An empty list is nothing to do, None is not."""
    if given is None:
        raise BrazeValidationError(
            endpoint, ["schedule_id: there is none: the task that made the schedules left no ids, look into Braze"]
        )
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given)
        except ValueError:
            raise BrazeValidationError(
                endpoint, ["schedule_id: is a list as text: give the creating task's .output['schedule_ids'] instead"]
            ) from None
    ids = list(_flat(given))
    if not all(isinstance(schedule_id, str) and schedule_id for schedule_id in ids):
        raise BrazeValidationError(endpoint, ["schedule_id: holds something that is no id: ids are texts"])
    return ids


def _flat(given: Any) -> Iterator[Any]:
    """Mapped tasks give one list each."""
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        yield given
    else:
        for part in given:
            yield from _flat(part)
