"""Says in the task log how far the reading of an audience is, and how often such lines come."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

PROGRESS_SECONDS = 10.0
SLOWEST_SECONDS = 60.0
_PORTION = 50
log = logging.getLogger(__name__)


class Rhythm:
    """A line after ten seconds, then ever more rarely, once a minute at last.

    :param pause: seconds until the first one.
    """

    def __init__(self, pause: float) -> None:
        self._began = time.monotonic()
        self._pause = pause
        self._next = self._began + pause

    def due(self) -> float | None:
        """Give the seconds since the beginning if it is time for a line."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._pause = min(2 * self._pause, SLOWEST_SECONDS)
        self._next = now + self._pause
        return now - self._began


def reading(entries: Iterable[Any]) -> Iterator[Any]:
    """Pass on what is read of an audience, and say now and then how much that is."""
    log.info("Reading the audience.")
    rhythm, count, stream = Rhythm(PROGRESS_SECONDS), 0, iter(entries)
    while portion := list(islice(stream, _PORTION)):
        count += len(portion)
        if rhythm.due() is not None:
            log.info("%s recipients read until now.", f"{count:,}")
        yield from portion
