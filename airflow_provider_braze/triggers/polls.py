"""Polls that the triggers of a triggerer share: one request per question and interval, however many wait for it.

Triggers of one triggerer run in one event loop. There is one board for each loop and connection, and on it one poll for
each question that somebody waits for. A poll without anybody who waits ends after an interval, a board without polls
closes its connections.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from airflow_provider_braze.api.errors import (
    BrazeConfigurationError,
    BrazeError,
    BrazeForbiddenError,
    BrazeRateLimitError,
    BrazeUnauthorizedError,
)
from airflow_provider_braze.conditions.base import Question
from airflow_provider_braze.hooks.braze import BrazeHook

if TYPE_CHECKING:
    from airflow_provider_braze.conditions.asking import Asker

JITTER = 0.05
"""Share of an interval by which polls differ, so that they do not go out in step for ever."""
LEAST_INTERVAL = 0.1
LEAST_TURN = 30.0
"""Seconds that a question waits for its turn at least: a wait that asks a hundred must get all answers of a round."""
AT_ONCE = 100
"""How many waits get an answer before the triggerer's loop has its turn: each takes its time to judge it."""
_NOT_ALLOWED = (BrazeUnauthorizedError, BrazeForbiddenError, BrazeConfigurationError)
log = logging.getLogger(__name__)


class Told(NamedTuple):
    """An answer, or why there will be none, and when it was asked for, on the loop's clock."""

    asked_at: float
    answer: dict[str, Any] | BrazeError


class Subscriber:
    """One trigger's view of the board.

    :param conn_id: Airflow connection of type ``braze``.
    :param interval: seconds between two questions.
    """

    def __init__(self, conn_id: str, interval: float) -> None:
        self._conn_id, self.interval = conn_id, max(interval, LEAST_INTERVAL)
        self._seen: dict[Question, float] = {}

    async def next(self, questions: Sequence[Question]) -> list[dict[str, Any]]:
        """Wait for an answer to each question, newer than the one before.

        :raises BrazeError: Braze did not answer one of them.
        """
        board = Board.of(self._conn_id)
        waits = [board.next(one, self.interval, self._seen.get(one, -math.inf)) for one in questions]
        try:
            told = [await wait for wait in waits]
        finally:
            for wait in waits:
                wait.cancel()
        self._seen = {question: one.asked_at for question, one in zip(questions, told, strict=True)}
        answers = []
        for one in told:
            if isinstance(one.answer, BrazeError):
                raise one.answer
            answers.append(one.answer)
        return answers


class Board:
    """All polls over one connection, in one event loop.

    :param conn_id: Airflow connection of type ``braze``.
    """

    _boards: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Board]]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._polls: dict[Question, _Poll] = {}
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, conn_id: str) -> Board:
        """Give the board of this loop for a connection."""
        boards = cls._boards.setdefault(asyncio.get_running_loop(), {})
        if conn_id not in boards:
            boards[conn_id] = cls(conn_id)
        return boards[conn_id]

    def next(self, question: Question, interval: float, after: float) -> asyncio.Future[Told]:
        """Give an answer to come that was asked for later than ``after``; cancel it where nobody waits any longer."""
        poll = self._polls.get(question)
        if poll is None:
            poll = self._polls[question] = _Poll(self._ask, question, self._ended)
        return poll.next(interval, after)

    async def _ended(self, question: Question) -> None:
        self._polls.pop(question, None)
        if not self._polls:
            await self._close()

    async def _close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.leave()

    async def _ask(self, question: Question, longest_wait: float) -> dict[str, Any]:
        line = await self._open()
        try:
            return await line.ask(question, longest_wait)
        except _NOT_ALLOWED:
            # The key may have been changed since.
            if not await self._renew(line):
                raise
        return await (await self._open()).ask(question, longest_wait)

    async def _open(self) -> _Line:
        async with self._opening:
            if self._line is None:
                self._line = await _Line.open(BrazeHook(self._conn_id))
            return self._line

    async def _renew(self, line: _Line) -> bool:
        """Read the connection anew, unless somebody did; tell whether it leads elsewhere now, or with another key."""
        async with self._opening:
            if line is self._line:
                new = await _Line.open(BrazeHook(self._conn_id))
                if new.way == line.way:
                    await new.leave()
                    return False
                self._line = new
                await line.leave()
            return True


class _Line:
    """A way to Braze that several ask over at a time; once it is left, the last of them closes it."""

    def __init__(self, asker: Asker, way: tuple[str, str]) -> None:
        self._asker, self.way = asker, way
        self._users = 1  # The board.

    @classmethod
    async def open(cls, hook: BrazeHook) -> Self:
        from airflow_provider_braze.conditions.asking import Asker

        client = await hook.aget_async_conn()
        known = hook.settings
        return cls(Asker(client, known.quota_reserve), (known.host, known.key))

    async def ask(self, question: Question, longest_wait: float) -> dict[str, Any]:
        self._users += 1
        try:
            return await self._asker.ask(question, longest_wait)
        finally:
            await self.leave()

    async def leave(self) -> None:
        self._users -= 1
        if not self._users:
            await self._asker.client.aclose()


class _Poll:
    """Asks one question once per interval, as long as somebody waits for the answer."""

    def __init__(self, ask: Callable[..., Any], question: Question, ended: Callable[..., Any]) -> None:
        self._ask, self._question, self._ended = ask, question, ended
        self._waiting: list[asyncio.Future[Told]] = []
        self._told: Told | None = None
        self._interval = self._latest = math.inf
        self._wake = asyncio.Event()
        # The task asked before it was deferred; and after a restart of the triggerer not all must ask at once.
        self._due_from: float | None = None
        self._chance = random.random()  # noqa: S311
        self._task: asyncio.Task[None] | None = None

    def next(self, interval: float, after: float) -> asyncio.Future[Told]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Told] = loop.create_future()
        if self._told is not None and self._told.asked_at > after and loop.time() - self._told.asked_at < interval:
            future.set_result(self._told)
            return future
        if interval < self._interval:
            self._interval = interval
            self._wake.set()
        self._waiting.append(future)
        if self._task is None:
            self._due_from = loop.time() - interval * self._chance
            self._task = loop.create_task(self._run(loop))
        return future

    async def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while await self._until_due(loop):
                begun = self._due_from = loop.time()
                try:
                    await self._tell(Told(begun, await self._ask(self._question, max(self._interval, LEAST_TURN))))
                except BrazeError as error:
                    if isinstance(error, BrazeRateLimitError):
                        self._due_from = max(begun, loop.time() + (error.retry_after or 0.0) - self._interval)
                    await self._tell(Told(begun, error))
        except Exception as error:
            log.exception("A poll of %s broke off.", self._question.endpoint)
            # All of them before anybody can ask for more: there will be none.
            broken = Told(loop.time(), BrazeError(f"The poll broke off: {error!r}"))
            await self._tell(broken, at_once=len(self._waiting) + 1)
        finally:
            await self._ended(self._question)

    async def _until_due(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Sleep until the next question is due; false where nobody waits for it then."""
        while True:
            interval = self._interval if self._waiting else self._latest
            due = (self._due_from or 0.0) + interval * (1 + JITTER * self._chance)
            left = due - loop.time()
            if left <= 0:
                return not all(one.done() for one in self._waiting)
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _tell(self, told: Told, at_once: int = AT_ONCE) -> None:
        # Who comes later asks anew where there was no answer.
        self._told = told if isinstance(told.answer, dict) else None
        self._latest, self._interval = self._interval, math.inf
        waiting, self._waiting = self._waiting, []
        for place, future in enumerate(waiting, 1):
            if not future.done():
                future.set_result(told)
            if place % at_once == 0:
                await asyncio.sleep(0)
