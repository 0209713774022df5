"""Whose turn it is: how many requests of a delivery may be claimed, and that the first one leaves alone."""

from __future__ import annotations

import asyncio


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
        """Wait until the first request is finished; true for the one who sends it, and calls :meth:`end` then."""
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
