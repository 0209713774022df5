"""Changes and deletes many schedules, several at a time.

Both may be repeated: what was lost on the way is asked for again, until Braze says that it is done, or refuses it. A
refusal alone says nothing of the schedule: what was asked for may be what is wrong. Only that of a delete whose answer
was lost before means that the schedule is gone. The first call goes alone: what is wrong for all of them shows on one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_braze.api.client import AsyncBrazeClient, encode, find_endpoint, run_blocking, validate
from airflow_provider_braze.api.errors import BrazeError, BrazePausedError, BrazeResponseError
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.sender import MOST_TRIES, NOT_BEGUN, Sender, Stop

AT_A_TIME = 200


@dataclass(slots=True)
class Called:
    """What became of some schedules.

    :param done: ids that Braze changed or deleted.
    :param gone: ids whose deletion Braze refused after an answer to it was lost, before anything was due.
    :param refused: ids that Braze refused, before anything was due, with what it said.
    :param late: ids that it is too late for: their messages may have gone out.
    :param left: ids that were not called for, since all was stopped before.
    :param errors: all others, each with its error.
    :param lost: ids of those with an error for which it may have been done all the same.
    """

    done: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: dict[str, BrazeError] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    errors: dict[str, BrazeError] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def add(self, other: Called) -> None:
        """Take on what became of others."""
        self.refused |= other.refused
        self.errors |= other.errors
        for name in ("done", "gone", "late", "left", "lost"):
            getattr(self, name).extend(getattr(other, name))

    def take_for_gone(self, schedule_ids: Iterable[str]) -> None:
        """Count refused deletions as done, of schedules that somebody may have deleted before.

        Refused with the very campaign that it was made for, a schedule waits no longer, or cannot go out.
        """
        for schedule_id in self.refused.keys() & set(schedule_ids):
            del self.refused[schedule_id]
            self.gone.append(schedule_id)

    def raise_first(self) -> None:
        """Raise the first error, if there is one."""
        for error in self.errors.values():
            raise error


class ScheduleCalls:
    """The way to Braze for changes of schedules.

    :param connect: makes a client.
    :param make_pacer: makes what says when requests may go.
    :param stop: ends all of it: a person stopped the task, or the wait for the quota is too long for a worker.
    """

    def __init__(
        self, connect: Callable[[], AsyncBrazeClient], make_pacer: Callable[[], Pacer], stop: Stop | None = None
    ) -> None:
        self._connect, self._make_pacer = connect, make_pacer
        # Not yet stopped, one is false.
        self.stop = Stop() if stop is None else stop

    def each(
        self, endpoint: str, fields: Mapping[str, Any], schedule_ids: Sequence[str], due: float
    ) -> Iterator[Called]:
        """Call an endpoint for each schedule, a portion at a time; the caller takes note of each portion.

        :param fields: of the body, beside ``schedule_id``.
        :param due: epoch seconds from when on nothing is called any more, and a refusal no longer means that nobody
            was messaged.
        """
        pacer = self._make_pacer()
        for portion in (schedule_ids[:1], *_portions(schedule_ids[1:])):
            if portion:
                yield run_blocking(self._call_all(endpoint, fields, portion, due, pacer))

    async def _call_all(
        self, endpoint: str, fields: Mapping[str, Any], schedule_ids: Sequence[str], due: float, pacer: Pacer
    ) -> Called:
        called = Called()
        row = find_endpoint(endpoint)
        async with self._connect() as client:
            sender, lanes = Sender(client, row, pacer, self.stop), asyncio.Semaphore(client.lanes)

            async def one(schedule_id: str) -> None:
                async with lanes:
                    try:
                        content = encode(row, validate(row, {**fields, "schedule_id": schedule_id}))
                    except BrazeError as error:
                        # The time may have passed while others were called for.
                        called.errors[schedule_id] = error
                    else:
                        await _call(sender, content, due, called, schedule_id)

            async with asyncio.TaskGroup() as group:
                for schedule_id in schedule_ids:
                    group.create_task(one(schedule_id))
        return called


def _portions(schedule_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(schedule_ids), AT_A_TIME):
        yield schedule_ids[start : start + AT_A_TIME]


async def _call(sender: Sender, content: bytes, due: float, called: Called, schedule_id: str) -> None:
    """Call once, and again where the answer was lost; take down what became of it."""
    sent, was_lost = NOT_BEGUN, False
    for _ in range(MOST_TRIES):
        sent = await sender.send(content, until=time.monotonic() + due - time.time())
        if sent.outcome is not Outcome.UNKNOWN:
            break
        was_lost = True
    error = sent.error
    if sent is NOT_BEGUN and sender.stop:
        called.left.append(schedule_id)
        called.lost += [schedule_id] * was_lost
    elif sent is NOT_BEGUN:
        called.late.append(schedule_id)
    elif error is None or isinstance(error, BrazePausedError):
        called.done.append(schedule_id)
    elif not is_refusal(error):
        called.errors[schedule_id] = error
        called.lost += [schedule_id] * was_lost
    elif time.time() >= due:
        called.late.append(schedule_id)
    elif was_lost and sender.endpoint.name.endswith("_delete"):
        called.gone.append(schedule_id)
    else:
        called.refused[schedule_id] = error


def is_refusal(error: BrazeError) -> bool:
    """Tell whether Braze itself refuses what was asked for, or says that there is no such schedule."""
    return isinstance(error, BrazeResponseError) and error.status in (400, 404) and error.readable
