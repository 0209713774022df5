"""Paces requests by what Braze's answers say of the quota, so that 429s are the exception.

Full speed while plenty is left; near a pool's end, the rest is spread over the time until its reset. The reserve stays
for everybody else in the workspace. Workers know of each other by what ``remaining`` loses.
"""

from __future__ import annotations

import math
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_braze.api.quota import LONGEST_WAIT, RateLimit

WORKERS = 16
"""Tasks that may run out of one pool at once without knowing of each other: Airflow's ``max_active_tasks_per_dag``."""
KNEE = 0.01
"""Share of a pool below which its use is spread: more would cost a lone worker time. In requests, never less than what
``WORKERS`` tasks have under way, which is drawn before any of them can see it."""
SHORTEST_SPREAD = 10.0
"""Seconds that the rest is spread over at least: just before a reset all of it would go quicker than answers, of up to
half a second each, tell of the others."""
FIRST_FEW = 0.01
"""Share of a pool, at least one request each, that ``WORKERS`` tasks have under way after a reset until one answers."""
JITTER = 2.0
"""Seconds after a reset within which workers begin again, each at a random instant."""
SAME_RESET = 2.0
"""Seconds by which two tellings of one reset may differ: one for whole seconds, one for the age of an answer."""
LONGEST_WINDOW = 86_400.0
"""Seconds of the longest window of Braze's, a day: a reset further away is a unit misunderstood."""
ANSWER_SOON = 0.05
"""Seconds until asking again where an answer is all that is missing: about as long as one takes."""
CATCH_UP = 0.02
"""Seconds that a start may be late by without lowering the rate: what a busy event loop is late by."""


@dataclass(slots=True)
class _Pool:
    """One window of one limit, as far as answers told; instants are of the pacer's clock."""

    limit: int
    remaining: int
    reset: float
    opens: float
    over: bool = False


class Pacer:
    """Says when the next request may start. One per delivery, used from one event loop::

        while (seconds := pacer.take()) > 0:
            await asyncio.sleep(seconds)  # or shorter

    ``need`` says how many requests are still to come: where twice that is left there is no reason to spread them.

    To each start belongs one :meth:`note`, or one :meth:`give_back`.

    :param reserve: what is left for all others until the reset: below 1 a share of the pool's limit, from 1 on a number
        of requests. At most half of a pool, so that a number meant for a large one leaves a tiny one usable.
    :param max_per_second: most starts within any second; 0.5 is one in two seconds.
    :param share: part of the whole that is this worker's, 0.25 for one of four mapped tasks.
    :param lanes: requests that this worker has under way at most.
    :param clock: monotonic seconds; ``chance``: random numbers from 0 to 1.
    """

    def __init__(
        self,
        *,
        reserve: float = 0.02,
        max_per_second: float | None = None,
        share: float = 1.0,
        lanes: int = 16,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        rate = math.inf if max_per_second is None else max_per_second * share
        if not (0 <= reserve < math.inf and 0 < share <= 1 and lanes >= 1 and rate > 0):
            raise ValueError("out of range: reserve >= 0, 0 < share <= 1, lanes >= 1, max_per_second > 0 are needed")
        self._reserve, self._share, self._lanes = reserve, share, lanes
        self._clock, self._chance = clock, chance
        self._crowd = max(WORKERS, 1 / share)
        # Of two pools it is undocumented which one is told: each limit that was told is obeyed, the strictest paces.
        self._pools: dict[int | None, _Pool] = {}
        self._under_way = self._overdue = self._refusals = 0
        self._others = 0.0  # Requests that others draw for each one of ours, of late.
        self._room = self._most_room = lanes + 2  # To be under way: few after a reset or a 429, then ever more.
        self._rate, self._starts = rate, deque[float]()
        self._closed_until = self._last = self._slot = -math.inf
        self.need: int | None = None

    @property
    def remaining(self) -> int | None:
        """Requests that are left, the reserve among them; None where not told."""
        return pool.remaining if (pool := self._strictest()) else None

    @property
    def reset_after(self) -> float | None:
        """Seconds until there are more; None where not told."""
        return max(0.0, pool.reset - self._clock()) if (pool := self._strictest()) else None

    @property
    def rate(self) -> float | None:
        """Most starts a second; None for any number."""
        return None if self._rate == math.inf else self._rate

    def note(self, limit: RateLimit) -> None:
        """Take in an answer's quota, of a 429 too; an empty one where the answer was lost or said nothing."""
        self._under_way = max(0, self._under_way - 1)
        if (now := self._clock()) >= self._closed_until:
            self._room = min(self._most_room, self._room + 1)
        for key, pool in self._pools.items():
            if limit.remaining is None or key != limit.limit:
                pool.remaining = max(0, pool.remaining - 1)  # Perhaps drawn there too: rather one too few.
        if limit.remaining is None:
            return
        after = limit.reset_after if 0 <= (limit.reset_after or 0.0) <= LONGEST_WINDOW else None
        known = self._pools.get(limit.limit)
        # One that tells no reset can only be of the window that is known.
        if known and not known.over and (after is None or abs(now + after - known.reset) <= SAME_RESET):
            drawn = max(0, known.remaining - limit.remaining)
            known.remaining -= drawn
            # A quarter: one answer out of order says little, four in a row do.
            self._others += (max(0, drawn - 1) - self._others) / 4
        elif not known or known.over or after is None or now + after > known.reset or after > SAME_RESET:
            # All but late answers of the window before: the reset that they tell is past.
            self._begin(limit.limit, limit.remaining, now, after or 0.0)

    def hold(self, seconds: float) -> None:
        """Start nothing for so long: a 429 said so, and was noted. Afterwards one request goes first."""
        if (now := self._clock()) >= self._closed_until:
            # Room for two: this is the only answer since the last time, so waiting as long again is not enough.
            self._refusals = self._refusals + 1 if self._room <= 2 else 0
        self._closed_until = max(self._closed_until, now + min(max(_doubled(self._refusals), seconds), LONGEST_WAIT))
        self._room = 1

    def take(self) -> float:
        """Start now (0.0: it counts as under way), or ask again after so many seconds, at most an hour."""
        now = self._clock()
        waits = [self._until_pool(pool, now) for pool in self._pools.values()]
        waits.append(ANSWER_SOON if self._under_way >= self._room else 0.0)
        wait = max(self._closed_until - now, self._until_slot(now), *waits)
        if wait > 0:
            return min(wait, LONGEST_WAIT)
        self._under_way += 1
        self.need = max(0, self.need - 1) if self.need is not None else None
        self._last = now
        if self._rate < math.inf:
            self._slot = max(self._slot, now - CATCH_UP) + 1 / self._rate
            self._starts.append(now)
        return 0.0

    def give_back(self) -> None:
        """Take a start back: the request did not leave."""
        self._under_way = max(0, self._under_way - 1)

    def _begin(self, limit: int | None, remaining: int, now: float, after: float) -> None:
        """A window that was not known."""
        self._others /= 2  # Some of them may be done.
        self._overdue = 0 if after else self._overdue + 1
        opens = now + (after or _doubled(self._overdue)) + JITTER * self._chance()
        if len(self._pools) > 3:  # Of one endpoint: an hour's, all broadcasts', one audience's.
            self._pools.clear()
        self._pools[limit] = _Pool(remaining if limit is None else limit, max(0, remaining), now + after, opens)
        self._room = self._room if after else self._few(self._pools[limit])

    def _few(self, pool: _Pool) -> int:
        return min(self._room, max(1, int(FIRST_FEW * pool.limit / self._crowd)))

    def _usable(self, pool: _Pool) -> int:
        part = math.ceil(self._reserve * pool.limit) if self._reserve < 1 else int(self._reserve)
        return pool.remaining - min(part, pool.limit // 2)

    def _strictest(self) -> _Pool | None:
        return min((pool for pool in self._pools.values() if not pool.over), key=self._usable, default=None)

    def _until_slot(self, now: float) -> float:
        """Evenly spaced; since late starts catch up, those of the last second are counted besides."""
        if self._rate == math.inf:
            return 0.0
        most = math.ceil(self._rate)
        while self._starts and self._starts[0] + most / self._rate <= now:
            self._starts.popleft()
        return max(self._slot, self._starts[0] + most / self._rate if len(self._starts) >= most else now) - now

    def _until_pool(self, pool: _Pool, now: float) -> float:
        if now >= pool.opens and not pool.over:
            pool.over = True
            self._room = self._few(pool)
        left = self._usable(pool)
        usable = left - self._under_way
        if pool.over or usable >= max(KNEE * pool.limit, self._lanes * self._crowd):
            return 0.0
        least = 1 + self._others
        if left < least:
            return pool.opens - now
        if self.need is not None and usable >= max(least, 2 * self.need):
            return 0.0
        if usable < least or self._under_way >= max(1, left / self._crowd):
            # As many workers, all with their lanes full, cannot have more under way than is left.
            return min(ANSWER_SOON, pool.opens - now)
        apart = max(pool.reset - now, SHORTEST_SPREAD) / ((usable - self._others) * self._share)
        return min(self._last + apart, pool.opens) - now


def _doubled(times: int) -> float:
    """Seconds after so many looks in vain: 0, 1, 3, 7, 15, and 31 from then on, which clocks rarely differ by."""
    return 2.0 ** min(times, 5) - 1
