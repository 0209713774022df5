"""Ten million recipients in one delivery, in virtual time: nothing sleeps, the pacer is the real one.

200,000 requests with 50 recipients each go out on 16 lanes, with 50 ms until an answer, from a pool of 250,000 an hour
of which everybody else draws 20,000. It begins at minute 40 and keeps 2 % in reserve.

Run it as ``python tests/benchmarks/ten_million.py``.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from airflow_provider_braze.api.quota import RateLimit
from airflow_provider_braze.delivery.pacing import Pacer

RECIPIENTS, A_REQUEST = 10_000_000, 50
LANES, LATENCY = 16, 0.05
POOL, RESERVE, OTHERS_AN_HOUR = 250_000, 0.02, 20_000
HOUR, BEGIN = 3600.0, 40 * 60.0
REQUESTS_A_ROW = 200  # Of a ledger in Airflow's task state.


class _Simulation:
    """A workspace with one delivery; seconds count from a full hour on."""

    def __init__(self, requests: int, begin: float, reserve: float) -> None:
        self.now, self.todo, self.left, self._requests = begin, requests, requests, requests
        self.refused = self.others_refused = 0
        # Others have drawn their part of the hour that went by.
        self.used = Counter({0: int(OTHERS_AN_HOUR * begin / HOUR)})
        self._pacer = Pacer(reserve=reserve, lanes=LANES, clock=lambda: self.now, chance=random.Random(1).random)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def run(self) -> None:
        """Until the last answer."""
        self._others()
        self._lane()
        while self.left:
            self.now, _, what = heapq.heappop(self._due)
            what()

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._due, (self.now + seconds, self._order, what))

    def _draw(self) -> bool:
        hour = int(self.now // HOUR)
        granted = self.used[hour] < POOL
        self.used[hour] += granted
        return granted

    def _others(self) -> None:
        self.others_refused += not self._draw()
        self._after(HOUR / OTHERS_AN_HOUR, self._others)

    def _lane(self) -> None:
        if self.todo:
            self.todo -= 1
            self._ask()

    def _ask(self) -> None:
        if wait := self._pacer.take():
            self._after(wait + 1e-6, self._ask)
        else:
            self._after(LATENCY / 2, self._arrive)

    def _arrive(self) -> None:
        granted, hour = self._draw(), int(self.now // HOUR)
        left, reset = POOL - self.used[hour], (hour + 1) * HOUR
        self._after(LATENCY / 2, lambda: self._answer(granted, left, reset))

    def _answer(self, granted: bool, left: int, reset: float) -> None:
        reset_after = max(0.0, reset - self.now)
        self._pacer.note(RateLimit(POOL, left, reset_after))
        if granted:
            # The first request goes alone.
            for _ in range(LANES if self.left == self._requests else 1):
                self._lane()
            self.left -= 1
        else:
            self.refused += 1
            self._pacer.hold(reset_after)
            self._ask()


def simulate(recipients: int = RECIPIENTS, begin: float = BEGIN, reserve: float = RESERVE) -> dict[str, Any]:
    """Send everything; tells how it went.

    :param recipients: how many, 50 to a request.
    :param begin: seconds into the hour.
    :param reserve: what is left for others, as a share of the pool.
    """
    requests = -(-recipients // A_REQUEST)
    simulation = _Simulation(requests, begin, reserve)
    simulation.run()
    return {
        "recipients": recipients,
        "requests": requests,
        "seconds": simulation.now - begin,
        "429s": simulation.refused,
        "429s_of_others": simulation.others_refused,
        "most_used_of_an_hour": max(simulation.used.values()),
        "pool": POOL,
        "reserve": int(POOL * reserve),
        "task_state_rows": -(-requests // REQUESTS_A_ROW),
        "sql_rows": recipients + requests,
    }


def main() -> None:
    """Print it; besides, three times as many, which one hour has no room for, with the reserve and a larger one."""
    columns = [simulate(), simulate(3 * RECIPIENTS), simulate(3 * RECIPIENTS, reserve=0.1)]
    for name in columns[0]:
        print(f"{name.replace('_', ' '):>22}", *(f"{column[name]:>12,.0f}" for column in columns))


if __name__ == "__main__":
    main()
