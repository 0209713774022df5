"""Pacing, in a simulation: virtual time, workers with 16 lanes each, and a pool that behaves like the emulator's.

A pool has fixed windows, tells what is left with every answer, and a 429 draws nothing from it. Requests reach it half
a latency after their start, so answers tell of a state that is past, and they overtake each other.
"""

import heapq
import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_braze.api.quota import LONGEST_WAIT, RateLimit
from airflow_provider_braze.delivery.pacing import FIRST_FEW, JITTER, LONGEST_WINDOW, WORKERS, Pacer

HOUR, MINUTE = 3600, 60
QUICK, UNEVEN, SLOW = (0.03, 0.07), (0.02, 0.5), (0.3, 1.5)
LANES = 16
SETTINGS = settings(max_examples=300, derandomize=True, deadline=None, database=None)
NOTHING = RateLimit()


class World:
    """Virtual time: what is due happens in order."""

    def __init__(self, now):
        self.now = now
        self._due, self._order = [], itertools.count()

    def at(self, when, what, *arguments):
        heapq.heappush(self._due, (when, next(self._order), what, arguments))

    def run(self, until):
        while self._due and self._due[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(self._due)
            what(*arguments)


class Quota:
    """One pool of a workspace."""

    def __init__(self, world, limit, seconds, used):
        self._world, self.limit, self.seconds = world, limit, seconds
        self.used, self.refused = Counter({self.window: used}), Counter()

    @property
    def window(self):
        return int(self._world.now // self.seconds)

    def draw(self):
        """Whether it was granted, what is left, and the reset as an epoch."""
        window = self.window
        granted = self.used[window] < self.limit
        self.used[window] += granted
        return granted, self.limit - self.used[window], (window + 1) * self.seconds


class Worker:
    """A delivery: the first request alone, then all lanes; what got a 429 is tried again, as the engine does."""

    def __init__(self, world, quota, chance, todo, pacer, latency=QUICK, lanes=LANES, headers=True, ahead=0.0):
        self.world, self.quota, self.chance, self.pacer = world, quota, chance, pacer
        self.todo = self.left = todo
        self.latency, self.lanes, self.headers, self.ahead = latency, lanes, headers, ahead
        self.starts, self.refused, self.first_answers = [], Counter(), {}
        self.finished = math.inf
        world.at(world.now, self.lane, True)

    def lane(self, first=False):
        if self.todo:
            self.todo -= 1
            self.ask(first, 1)

    def ask(self, first, attempt):
        wait = self.pacer.take()
        assert 0 <= wait <= LONGEST_WAIT
        if wait:
            # An event loop is late by up to a millisecond.
            self.world.at(self.world.now + wait + 0.001 * self.chance.random(), self.ask, first, attempt)
            return
        self.starts.append(self.world.now)
        self.world.at(self.world.now + self._half(), self.arrive, first, attempt)

    def arrive(self, first, attempt):
        window = self.quota.window
        granted, remaining, reset = self.quota.draw()
        if not granted:
            self.quota.refused[window] += 1
            self.refused[window] += 1
        self.world.at(self.world.now + self._half(), self.answer, granted, remaining, reset, first, attempt)

    def answer(self, granted, remaining, reset, first, attempt):
        self.first_answers.setdefault(self.quota.window, self.world.now)
        # As read_rate_limit, whose clock may be ahead.
        after = max(0.0, reset - self.world.now - self.ahead)
        self.pacer.note(RateLimit(self.quota.limit, remaining, after) if self.headers else NOTHING)
        if not granted:
            seconds = min(30.0, 2**attempt / 4) * self.chance.uniform(1, 1.5)
            self.pacer.hold(max(seconds, after + self.chance.uniform(0, 0.5)) if self.headers else seconds)
            self.ask(first, attempt + 1)
            return
        self.left -= 1
        if not self.left:
            self.finished = self.world.now
        for _ in range(self.lanes if first else 1):
            self.lane()

    def _half(self):
        return self.chance.uniform(*self.latency) / 2


class Unpaced:
    """What a pacer is measured against."""

    def take(self):
        return 0.0

    def note(self, limit):
        pass

    hold = note


class Case:
    """Workers that share a pool.

    :param into: how far into its window the pool is at the start, from 0 to 1.
    :param used: what is drawn from it by then.
    :param others: requests a second of everybody else in the workspace.
    """

    def __init__(self, workers, limit, seconds, each, *, into=0.5, used=0, others=0.0, seed=1, paced=True, **settings):
        chance = random.Random(seed)
        self.start = (100 + into) * seconds
        self.world = World(self.start)
        self.quota = Quota(self.world, limit, seconds, used)
        own = {name: settings.pop(name) for name in ("latency", "headers", "ahead") if name in settings}
        self.workers, self.others_refused = [], 0
        for _ in range(workers):
            pacer = Pacer(clock=lambda: self.world.now, chance=chance.random, **settings) if paced else Unpaced()
            self.workers.append(Worker(self.world, self.quota, chance, each, pacer, **own))
        if others:
            self.world.at(self.start, self._other, chance, others)
        self.world.run(self.start + 40 * seconds)
        self.took = max(worker.finished for worker in self.workers) - self.start
        self.reset = 101 * seconds - self.start

    def _other(self, chance, others):
        if any(worker.left for worker in self.workers):
            self.others_refused += not self.quota.draw()[0]
            self.world.at(self.world.now + chance.expovariate(others), self._other, chance, others)

    @property
    def fewest_left(self):
        return self.quota.limit - max(self.quota.used.values())

    def most_in(self, seconds, *, worker=None):
        """The most starts within any so many seconds."""
        starts = sorted(itertools.chain(*(w.starts for w in [worker] if worker) if worker else self._all_starts()))
        return most_in(starts, seconds)

    def _all_starts(self):
        return (worker.starts for worker in self.workers)


def most_in(starts, seconds):
    most, first = 0, 0
    for last, start in enumerate(starts):
        # The tolerance is that of floating point.
        while starts[first] <= start - seconds + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


POOLS = {
    # limit: window, used at the start, requests of all workers together
    10: (MINUTE, 0, 24),
    250: (MINUTE, 0, 600),
    5_000: (HOUR, 4_300, 1_500),
    250_000: (HOUR, 243_000, 6_000),
}
WHEN = {"at its beginning": 0.0, "in its middle": 0.5, "near its end": 0.87, "at its end": 0.999}


@pytest.fixture(scope="module", params=WHEN, ids=lambda name: name.replace(" ", "-"))
def into(request):
    return WHEN[request.param]


@pytest.fixture(scope="module", params=[QUICK, UNEVEN, SLOW], ids=["quick", "uneven", "slow"])
def latency(request):
    return request.param


@pytest.fixture(scope="module", params=range(1, 13), ids=lambda workers: f"{workers}-workers")
def workers(request):
    return request.param


@pytest.fixture(scope="module", params=POOLS, ids=lambda limit: f"pool-of-{limit}")
def shared(request, workers, into, latency):
    """One pool that several workers use up."""
    limit = request.param
    seconds, used, work = POOLS[limit]
    return Case(workers, limit, seconds, max(2, work // workers), into=into, used=used, latency=latency)


class TestSeveralWorkersShareOnePool:
    def test_429s_are_the_exception(self, shared, workers, latency):
        """None, unless there are more workers than requests, or answers are slow: then one a worker and window."""
        for window, refused in shared.quota.refused.items():
            assert shared.quota.limit == 10 or latency is SLOW, window
            assert refused <= workers
            assert max(worker.refused[window] for worker in shared.workers) <= 2

    def test_others_can_still_call(self, shared, workers, latency):
        if shared.quota.limit == 10 and workers > 1:
            pytest.xfail("a reserve of one request, and the first look of each worker costs one")
        reserve = math.ceil(0.02 * shared.quota.limit)
        # One for two workers that start the last request at the same instant; slow answers tell of it too late.
        assert shared.fewest_left >= reserve - (workers if latency is SLOW else 1)
