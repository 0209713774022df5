"""Ten million recipients in one delivery, in virtual time: nothing sleeps, the pacer is the real one.

200,000 requests with 50 recipients each go out on 16 lanes, with 50 ms until an answer, from a pool of 250,000 an hour
of which everybody else draws 20,000. It begins at minute 40 and keeps 2 % in reserve.

Run it as ``python tests/benchmarks/ten_million.py``.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from typing import Any

from airflow_provider_braze.api.quota import RateLimit
from airflow_provider_braze.delivery.pacing import Pacer

RECIPIENTS, A_REQUEST = 10_000_000, 50
LANES, LATENCY = 16, 0.05
POOL, RESERVE, OTHERS_AN_HOUR = 250_000, 0.02, 20_000
HOUR, BEGIN = 3600.0, 40 * 60.0
REQUESTS_A_ROW = 200  # Of a ledger in Airflow's task state.

Times = list[tuple[float, int, str, bool]]


def simulate(recipients: int = RECIPIENTS, begin: float = BEGIN) -> dict[str, Any]:
    """Send everything; durations in seconds.

    :param recipients: how many, in requests of 50.
    :param begin: seconds into the hour.
    """
    now, number = begin, 0
    todo = requests = -(-recipients // A_REQUEST)
    done = refused = others_refused = 0
    # Others have drawn their part of the hour that went by.
    used = Counter({0: int(OTHERS_AN_HOUR * begin / HOUR)})
    pacer = Pacer(reserve=RESERVE, lanes=LANES, clock=lambda: now, chance=random.Random(1).random)
    due: Times = [(begin, 0, "ask", False), (begin, 1, "other", False)]
    number = len(due)

    def at(seconds: float, what: str, retry: bool = False) -> None:
        nonlocal number
        number += 1
        heapq.heappush(due, (now + seconds, number, what, retry))

    def draw() -> bool:
        hour = int(now // HOUR)
        granted = used[hour] < POOL
        used[hour] += granted
        return granted

    while done < requests:
        now, _, what, flag = heapq.heappop(due)
        match what:
            case "other":
                others_refused += not draw()
                at(HOUR / OTHERS_AN_HOUR, "other")
            case "ask" if flag or todo:
                if wait := pacer.take():
                    at(wait + 1e-6, "ask", flag)
                    continue
                todo -= not flag
                at(LATENCY / 2, "arrive")
            case "arrive":
                at(LATENCY / 2, "answer", draw())
            case "answer":
                hour = int(now // HOUR)
                reset_after = (hour + 1) * HOUR - now
                pacer.note(RateLimit(POOL, POOL - used[hour], reset_after))
                if not flag:
                    refused += 1
                    pacer.hold(reset_after)
                    at(0, "ask", True)
                    continue
                # The first request goes alone.
                for _ in range(1 if done else LANES):
                    at(0, "ask")
                done += 1
    return {
        "recipients": recipients,
        "requests": requests,
        "seconds": now - begin,
        "429s": refused,
        "429s_of_others": others_refused,
        "most_used_of_an_hour": max(used.values()),
        "pool": POOL,
        "task_state_rows": -(-requests // REQUESTS_A_ROW),
        "sql_rows": recipients + requests,
    }


def main() -> None:
    """Print it."""
    told = simulate()
    for name, value in told.items():
        print(f"{name.replace('_', ' '):>22}: {value:>12,.0f}")
    print(f"{'as a clock says':>22}: {told['seconds'] / 60:>10.1f} min")


if __name__ == "__main__":
    main()
