"""Whose turn it is: how many requests of a delivery may be claimed, and that the first one leaves alone."""

from __future__ import annotations

import asyncio
import math
from typing import Any, NamedTuple

from airflow_provider_braze.delivery.request import PlannedRequest


class Ready(NamedTuple):
    """A request whose intent is durable.

    :param ticket: names the intent; None where there is none (any more).
    :param took_doubt: whether some of its recipients were in doubt before.
    :param until: instant of ``time.monotonic`` after which it is not to be begun: others may take its intent for that
        of a dead worker soon.
    """

    request: PlannedRequest
    ticket: Any
    took_doubt: bool
    until: float


class Ahead:
    """Requests that are claimed and wait for a lane."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Ready | None] = asyncio.Queue()

    def put(self, ready: Ready) -> None:
        """Let one wait."""
        self._queue.put_nowait(ready)

    async def get(self) -> Ready | None:
        """Give the next one, None where no more will come."""
        return await self._queue.get()

    def close(self, lanes: int) -> None:
        """Tell so many lanes that no more will come."""
        for _ in range(lanes):
            self._queue.put_nowait(None)

    def let_go(self) -> list[Ready]:
        """Give all that wait, to take their intents back; they go on waiting, to be claimed anew."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for ready in waiting:
            self._queue.put_nowait(ready and ready._replace(ticket=None, until=-math.inf))
        return [ready for ready in waiting if ready]


class Turns:
    """How many requests may be claimed and not finished: one at first, all once its answer is there.

    :param most: how many at last.
    """

    def __init__(self, most: int) -> None:
        self._most, self._given = most, 1
        self._free = asyncio.Semaphore(1)
        self._first = asyncio.Lock()
        self._finished = 0

    async def take(self) -> None:
        """Wait for a turn."""
        await self._free.acquire()

    def skip(self) -> None:
        """End a turn in which nothing was begun; what is done already may be gone through quickly."""
        self._end(1)

    def end(self) -> None:
        """End a turn in which a request was finished."""
        self._finished += 1
        self._end(self._most)

    def _end(self, grow: int) -> None:
        grow = min(grow, self._most - self._given)
        self._given += grow
        for _ in range(1 + grow):
            self._free.release()

    async def first(self) -> bool:
        """Wait until the first request is finished; true for the one who is to send it.

        That one calls :meth:`first_done`, after :meth:`end` or where there is none to send.
        """
        if self._finished:
            return False
        await self._first.acquire()
        is_first = not self._finished
        if not is_first:
            self._first.release()
        return is_first

    def first_done(self) -> None:
        """Let the others go."""
        self._first.release()
