"""Pacing, in a simulation: virtual time, workers with 16 lanes each, and a pool that behaves like the emulator's.

A pool has fixed windows, tells what is left with every answer, and a 429 draws nothing from it. Requests reach it half
a latency after their start, so answers tell of a state that is past, and they overtake each other.
"""

import heapq
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass

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

    def __init__(self, world, quota, chance, todo, pacer, *, latency=QUICK, headers=True, ahead=0.0):
        self.world, self.quota, self.chance, self.pacer = world, quota, chance, pacer
        self.todo = self.left = self.size = todo
        self.latency, self.headers, self.ahead = latency, headers, ahead
        self.starts, self.refused, self.first_answers, self.late = [], Counter(), {}, Counter()
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
        window = int(reset // self.quota.seconds) - 1
        self.first_answers.setdefault(window, self.world.now)
        self.late[self.quota.window] += window != self.quota.window
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
        for _ in range(LANES if first else 1):
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


def most_in(starts, seconds):
    most, first = 0, 0
    for last, start in enumerate(starts):
        # The tolerance is that of floating point.
        while starts[first] <= start - seconds + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


@dataclass(frozen=True)
class Scene:
    """A pool, and work that outgrows what is left in its window but fits into the next ones."""

    limit: int
    seconds: int
    used: int
    work: int

    @property
    def reserve(self):
        return math.ceil(0.02 * self.limit)

    def slack(self, workers, latency):
        """Seconds that a pool's next window takes, at worst: the jitter, two looks, then full lanes."""
        return 2 * JITTER + 4 * latency[1] + self.work * latency[1] / (workers * LANES)


SCENES = {
    "10 a minute": Scene(10, MINUTE, 0, 24),
    "250 a minute": Scene(250, MINUTE, 0, 500),
    "5,000 an hour": Scene(5_000, HOUR, 4_400, 1_500),
    "250,000 an hour": Scene(250_000, HOUR, 244_600, 1_600),
}
WHEN = (0.0, 0.87, 0.999)
LATENCIES = {"quick": QUICK, "uneven": UNEVEN, "slow": SLOW}


@pytest.fixture(scope="module", params=LATENCIES)
def latency(request):
    return LATENCIES[request.param]


@pytest.fixture(scope="module", params=range(1, 13), ids=lambda workers: f"{workers}-workers")
def workers(request):
    return request.param


@pytest.fixture(scope="module", params=SCENES)
def scene(request):
    return SCENES[request.param]


@pytest.fixture(scope="module")
def cases(scene, workers, latency):
    """Begun at the beginning of the window, near its end, and at its very end."""
    each = max(2, scene.work // workers)
    return [
        Case(workers, scene.limit, scene.seconds, each, into=into, used=scene.used, latency=latency) for into in WHEN
    ]


class TestSeveralWorkersShareOnePool:
    def test_429s_are_the_exception(self, cases, scene, workers, latency):
        """None; one a worker and window where workers outnumber requests, or where answers take a second and more."""
        most = workers if scene.limit == 10 or latency is SLOW else 0
        for case in cases:
            assert max(case.quota.refused.values(), default=0) <= most
            assert all(max(worker.refused.values(), default=0) <= 2 for worker in case.workers)

    def test_the_reserve_is_left_for_others(self, cases, scene, workers, latency):
        """But for one request by two workers who start at once; slow answers tell of each other too late."""
        over = workers if latency is SLOW else 1
        if scene.limit == 10 and workers > 1:
            # Its reserve is one request, and a worker's first look costs one.
            over = scene.reserve
        for case in cases:
            assert case.fewest_left >= scene.reserve - over

    def test_all_is_sent_as_soon_as_the_pool_allows(self, cases, scene, workers, latency):
        for case in cases:
            assert all(worker.left == 0 for worker in case.workers)
            if scene.seconds == HOUR:
                assert case.took <= case.reset + scene.slack(workers, latency)
            else:
                # Some windows are not used to their last request: a worker's first look, and the end of a window.
                windows = math.ceil(sum(worker.size for worker in case.workers) / (0.75 * scene.limit)) + 1
                assert case.took <= case.reset + MINUTE * (windows - 1) + JITTER

    def test_no_hail_after_a_reset(self, cases, scene):
        """Where the last window was used up; a few, one for each late answer, and one that was due anyway."""
        few = max(1, int(FIRST_FEW * scene.limit / WORKERS))
        for case in cases:
            for worker in case.workers:
                for window, answered in worker.first_answers.items():
                    if case.quota.used[window - 1] < 0.75 * scene.limit:
                        continue
                    before = [start for start in worker.starts if window * scene.seconds <= start < answered]
                    assert len(before) <= min(LANES, few) + worker.late[window] + 1


class TestFullSpeed:
    @pytest.mark.parametrize("workers", [1, 4, 12])
    @pytest.mark.parametrize("latency", LATENCIES.values(), ids=LATENCIES)
    def test_nothing_is_slowed_down_while_plenty_is_left(self, workers, latency):
        paced, unpaced = (
            Case(workers, 250_000, HOUR, 2_000, used=100_000, latency=latency, paced=paced) for paced in (True, False)
        )
        assert paced.took <= 1.02 * unpaced.took
        assert not paced.quota.refused

    def test_a_reset_slows_nothing_down_either(self):
        paced, unpaced = (Case(4, 250_000, HOUR, 4_000, into=0.9995, paced=paced) for paced in (True, False))
        assert paced.workers[0].first_answers.keys() == {100, 101}
        assert paced.took <= 1.02 * unpaced.took

    def test_a_lone_worker_uses_all_but_the_reserve_at_full_speed_to_the_last_percent(self):
        paced, unpaced = (
            Case(1, 250_000, HOUR, 10_000, into=0.1, used=250_000 - 5_000 - 2_600 - 10_000, paced=paced)
            for paced in (True, False)
        )
        assert paced.took <= 1.02 * unpaced.took

    def test_below_it_the_rest_is_spread_until_the_reset(self):
        case = Case(1, 250_000, HOUR, 2_000, used=250_000 - 5_000 - 2_000)
        starts = case.workers[0].starts
        halves = Counter(start < case.start + case.reset / 2 for start in starts if start < case.start + case.reset)
        assert case.took <= case.reset + 10
        assert 0.9 < halves[True] / halves[False] < 1.1

    def test_without_headers_nothing_is_slowed_down(self):
        paced, unpaced = (
            Case(3, 250_000, HOUR, 2_000, used=247_000 - 3_000, headers=False, paced=paced) for paced in (True, False)
        )
        assert paced.took <= 1.02 * unpaced.took


class TestOthersInTheWorkspace:
    @pytest.mark.parametrize("workers", [1, 3, 12])
    def test_their_calls_are_granted(self, workers):
        # What is left, 700, is more than they draw in 900 seconds: 90; and the reserve, 100, is kept for them.
        case = Case(workers, 5_000, HOUR, 1_500 // workers, into=0.75, used=4_300, others=0.1)
        assert case.others_refused == 0
        assert not case.quota.refused
        assert case.took <= case.reset + 60

    @pytest.mark.parametrize("workers", [1, 3, 12])
    def test_they_may_use_all_of_it(self, workers):
        """Then hardly any of our requests is a 429, though nearly all of theirs are."""
        case = Case(workers, 5_000, HOUR, 1_500 // workers, used=4_300, others=1.0)
        assert case.others_refused > 500
        assert sum(sum(worker.refused.values()) for worker in case.workers) <= workers
        assert case.took <= case.reset + 60

    def test_a_reserve_of_nothing_is_possible(self):
        case = Case(1, 250, MINUTE, 1_000, reserve=0)
        assert not case.quota.refused
        assert case.fewest_left <= 20

    def test_a_reserve_in_requests(self):
        case = Case(2, 5_000, HOUR, 750, used=3_000, reserve=1_500)
        assert 1_499 <= case.fewest_left <= 1_505

    @pytest.mark.parametrize("limit", [2, 10])
    def test_a_reserve_larger_than_a_pool_leaves_half_of_it(self, limit):
        case = Case(1, limit, MINUTE, 2 * limit, reserve=5_000)
        assert case.workers[0].left == 0
        assert case.fewest_left == limit // 2

    def test_a_pool_of_one_is_usable(self):
        case = Case(1, 1, MINUTE, 5, into=0.1)
        assert case.workers[0].left == 0
        assert not case.quota.refused


class TestMappedTasks:
    @pytest.mark.parametrize("tasks", [2, 6, 12])
    @pytest.mark.parametrize("limit", [10, 250])
    def test_each_takes_its_share_of_what_is_left(self, tasks, limit):
        case = Case(tasks, limit, MINUTE, 2 * limit // tasks, share=1 / tasks, into=0.1)
        assert all(worker.left == 0 for worker in case.workers)
        assert max(case.quota.refused.values(), default=0) <= max(0, tasks - limit)

    def test_together_they_are_as_quick_as_one(self):
        one = Case(1, 5_000, HOUR, 60, used=4_700, into=0.0)
        three = Case(3, 5_000, HOUR, 20, used=4_700, into=0.0, share=1 / 3)
        assert three.took == pytest.approx(one.took, rel=0.05)

    def test_a_share_of_the_requests_a_second(self):
        case = Case(4, 250_000, HOUR, 100, max_per_second=20, share=1 / 4)
        assert case.took == pytest.approx(400 / 20, rel=0.05)
        assert all(most_in(worker.starts, 1) <= 5 for worker in case.workers)


class TestRequestsASecond:
    @pytest.mark.parametrize("rate", [1, 3, 7, 50, 200])
    @pytest.mark.parametrize("headers", [True, False], ids=["headers", "no-headers"])
    def test_it_is_kept_within_any_second_and_used(self, rate, headers):
        case = Case(1, 250_000, HOUR, 10 * rate, max_per_second=rate, headers=headers)
        assert most_in(case.workers[0].starts, 1) <= rate
        assert case.took == pytest.approx(10, rel=0.12)

    @pytest.mark.parametrize(("rate", "window"), [(0.5, 2), (0.1, 10)])
    def test_less_than_one(self, rate, window):
        case = Case(1, 250_000, HOUR, 10, max_per_second=rate)
        assert most_in(case.workers[0].starts, window) == 1

    def test_a_fraction_is_rounded_up_within_a_second_and_exact_over_many(self):
        case = Case(1, 250_000, HOUR, 100, max_per_second=2.5)
        assert most_in(case.workers[0].starts, 1) == 3
        assert case.took == pytest.approx(40, rel=0.03)

    def test_a_busy_event_loop_does_not_lower_it(self):
        now, starts = 0.0, []
        pacer = Pacer(max_per_second=100, clock=lambda: now)
        while len(starts) < 1_000:
            if wait := pacer.take():
                now += wait + 0.003
            else:
                starts.append(now)
                pacer.note(NOTHING)
        assert most_in(starts, 1) <= 100
        assert now < 10.3


class Clock:
    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pacer(clock):
    return Pacer(clock=clock, chance=lambda: 0.5)


def starts_now(pacer, most=1_000):
    """How many may start at this instant."""
    return next(count for count in range(most + 1) if count == most or pacer.take())


class TestAnswers:
    def test_a_late_answer_does_not_raise_what_is_left(self, pacer):
        for remaining in (900, 899, 897, 898, 950):
            pacer.note(RateLimit(1_000, remaining, 100.0))
        assert pacer.remaining == 897

    @pytest.mark.parametrize("jitter", [-1.9, 1.9])
    def test_a_reset_is_the_same_within_two_seconds(self, pacer, jitter):
        pacer.note(RateLimit(1_000, 5, 100.0))
        pacer.note(RateLimit(1_000, 900, 100.0 + jitter))
        assert pacer.remaining == 5

    def test_a_new_window_raises_it(self, pacer):
        pacer.note(RateLimit(1_000, 5, 100.0))
        pacer.note(RateLimit(1_000, 900, 160.0))
        assert pacer.remaining == 900

    def test_a_late_answer_of_the_window_before_says_nothing(self, pacer, clock):
        pacer.note(RateLimit(1_000, 5, 0.5))
        clock.now += 1
        pacer.note(RateLimit(1_000, 990, 3_600.0))
        pacer.note(RateLimit(1_000, 3, 0.0))
        assert pacer.remaining == 990

    def test_a_reset_far_too_late_is_corrected_by_the_next_answer(self, pacer):
        pacer.note(RateLimit(1_000, 5, 80_000.0))
        pacer.note(RateLimit(1_000, 900, 3_000.0))
        assert (pacer.remaining, pacer.reset_after) == (900, 3_000.0)

    def test_a_reset_that_cannot_be_waits_seconds_only(self, pacer):
        pacer.note(RateLimit(1_000, 0, 1e12))
        assert 0 < pacer.take() <= 3

    def test_own_requests_under_way_count_as_drawn(self, clock):
        pacer = Pacer(clock=clock, lanes=16, reserve=0)
        pacer.note(RateLimit(100_000, 1_010, 1_000.0))
        # The knee is at a hundredth: 1,000.
        assert starts_now(pacer) == 11

    def test_what_is_given_back_does_not(self, clock):
        pacer = Pacer(clock=clock, lanes=16, reserve=0)
        pacer.note(RateLimit(100_000, 1_010, 1_000.0))
        for _ in range(100):
            assert pacer.take() == 0
            pacer.give_back()

    def test_an_answer_without_headers_counts_as_one_drawn(self, pacer):
        pacer.note(RateLimit(1_000, 500, 100.0))
        pacer.note(NOTHING)
        assert pacer.remaining == 499

    def test_the_strictest_of_two_pools_paces(self, pacer, clock):
        """Undocumented is which one the headers tell of; here they tell of both in turns."""
        pacer.note(RateLimit(10, 1, 50.0))
        pacer.note(RateLimit(250_000, 240_000, 3_000.0))
        assert 0 < pacer.take() <= 50 + JITTER
        assert pacer.remaining == 0
        assert pacer.reset_after == 50

    def test_many_limits_are_forgotten(self, pacer):
        for limit in range(1_000, 1_100):
            pacer.note(RateLimit(limit, limit, 100.0))
        assert pacer.take() == 0

    @pytest.mark.parametrize("limit", [NOTHING, RateLimit(limit=250), RateLimit(reset_after=30.0)], ids=str)
    def test_nothing_said_nothing_known(self, pacer, limit):
        pacer.note(limit)
        assert (pacer.remaining, pacer.reset_after) == (None, None)
        assert starts_now(pacer, 18) == 18

    def test_remaining_alone_is_enough(self, pacer):
        pacer.note(RateLimit(remaining=0))
        assert 0 < pacer.take() <= 3

    def test_progress_tells_the_quota_left(self, pacer, clock):
        pacer.note(RateLimit(1_000, 700, 100.0))
        clock.now += 40
        assert (pacer.remaining, pacer.reset_after) == (700, 60.0)


class TestWaits:
    def test_an_empty_pool_waits_for_the_reset_and_a_jitter(self, pacer, clock):
        pacer.note(RateLimit(5_000, 0, 100.0))
        assert pacer.take() == 100 + JITTER / 2
        clock.now += 100 + JITTER / 2
        # Then three go first: a hundredth of the pool, for sixteen workers.
        assert starts_now(pacer) == 3
        pacer.note(RateLimit(5_000, 4_900, 3_500.0))
        assert pacer.take() == 0

    def test_where_a_reset_is_past_few_go_first_too(self, pacer):
        pacer.note(RateLimit(5_000, 4_900, 0.0))
        assert starts_now(pacer) == 3

    def test_a_day_is_waited_for_by_the_hour(self, pacer):
        pacer.note(RateLimit(100, 0, LONGEST_WINDOW))
        assert pacer.take() == LONGEST_WAIT

    def test_a_429_holds_everybody_back_and_then_one_goes_first(self, pacer, clock):
        assert starts_now(pacer, 4) == 4
        pacer.note(NOTHING)
        pacer.hold(7.0)
        assert pacer.take() == 7
        for _ in range(3):
            pacer.note(NOTHING)
        clock.now += 7
        assert starts_now(pacer) == 1
        pacer.note(NOTHING)
        assert starts_now(pacer) == 2

    @pytest.mark.parametrize("seconds", [0.0, -5.0, math.nan, 0.2])
    def test_429s_that_say_no_time_are_further_and_further_apart(self, pacer, clock, seconds):
        starts = []
        while len(starts) < 8:
            if wait := pacer.take():
                clock.now += wait
            else:
                starts.append(clock.now)
                pacer.note(NOTHING)
                pacer.hold(seconds)
        waits = [round(later - earlier, 6) for earlier, later in itertools.pairwise(starts)]
        assert waits == [0.2 if seconds == 0.2 else 0, 1, 3, 7, 15, 31, 31]

    def test_a_success_in_between_begins_anew(self, pacer, clock):
        for _ in range(4):
            assert pacer.take() == 0
            pacer.note(NOTHING)
            pacer.hold(0.5)
            assert pacer.take() == 0.5
            clock.now += 0.5
            assert pacer.take() == 0
            pacer.note(NOTHING)

    @pytest.mark.parametrize("seconds", [1e9, math.inf])
    def test_no_429_holds_for_more_than_an_hour(self, pacer, seconds):
        pacer.hold(seconds)
        assert pacer.take() == LONGEST_WAIT

    @pytest.mark.parametrize("workers", [1, 4, 12])
    def test_429s_without_a_header(self, workers):
        """At first what is under way, then one look a worker at 1, 3, 7, 15, 31 seconds."""
        case = Case(workers, 5_000, HOUR, 1_200 // workers, into=0.975, used=4_700, headers=False)
        for worker in case.workers:
            assert worker.left == 0
            assert sum(worker.refused.values()) <= LANES + 8
        assert case.took <= case.reset + 31 + 10

    @pytest.mark.parametrize("ahead", [-30, -5, -1, 1, 5, 30, 90])
    @pytest.mark.parametrize("workers", [1, 4, 12])
    def test_clocks_that_differ(self, ahead, workers):
        """Behind: some seconds are lost. Ahead: the reset is past and nothing is left, so looks are ever rarer."""
        case = Case(workers, 5_000, HOUR, 1_200 // workers, into=0.97, used=4_300, ahead=ahead)
        for worker in case.workers:
            assert worker.left == 0
            assert sum(worker.refused.values()) <= 6
        assert case.took <= case.reset + max(-ahead, 0) + 40


numbers = st.none() | st.integers(0, 2**53)
seconds = st.none() | st.floats(-1e6, 1e13) | st.sampled_from([0.0, math.inf, math.nan])
steps = st.one_of(
    st.tuples(st.just("note"), st.builds(RateLimit, numbers, numbers, seconds)),
    st.tuples(st.just("note"), st.builds(RateLimit, st.just(250), st.integers(0, 250), st.floats(0, 60))),
    st.tuples(st.just("hold"), st.floats()),
    st.tuples(st.just("sleep"), st.floats(0, 1e5)),
    st.tuples(st.just("take"), st.none()),
    st.tuples(st.just("give_back"), st.none()),
)


class TestWhateverComes:
    @SETTINGS
    @given(
        script=st.lists(steps, max_size=60),
        reserve=st.floats(0, 1e6),
        share=st.floats(1e-6, 1),
        max_per_second=st.none() | st.floats(1e-6, 1e9),
        lanes=st.integers(1, 100),
        begun=st.floats(-1e6, 1e9),
    )
    def test_waits_are_between_now_and_an_hour(self, script, begun, **numbers):
        clock = Clock()
        clock.now = begun
        pacer = Pacer(**numbers, clock=clock)
        for name, value in script:
            if name == "sleep":
                clock.now += value
            elif name in ("take", "give_back"):
                getattr(pacer, name)()
            else:
                getattr(pacer, name)(value)
            # NaN is not between them either.
            assert 0 <= pacer.take() <= LONGEST_WAIT
            assert pacer.remaining is None or pacer.remaining >= 0
            assert pacer.reset_after is None or 0 <= pacer.reset_after <= LONGEST_WINDOW

    @SETTINGS
    @given(remaining=st.permutations(range(240, 250)))
    def test_answers_in_any_order_leave_the_same(self, remaining):
        pacer = Pacer(clock=Clock())
        for number in remaining:
            pacer.note(RateLimit(250, number, 60.0))
        assert pacer.remaining == 240

    @SETTINGS
    @given(count=st.integers(1, 500), waits=st.lists(st.floats(0, 3), min_size=1, max_size=20), rate=st.integers(1, 40))
    def test_requests_a_second_are_kept_however_late_the_event_loop_is(self, count, waits, rate):
        clock, starts, late = Clock(), [], itertools.cycle(waits)
        pacer = Pacer(max_per_second=rate, clock=clock)
        for _ in range(count):
            if wait := pacer.take():
                clock.now += wait + next(late) * 0.1
            else:
                starts.append(clock.now)
                pacer.note(NOTHING)
        assert most_in(starts, 1) <= rate


@pytest.mark.parametrize(
    "wrong",
    [
        {"reserve": -1},
        {"reserve": math.nan},
        {"reserve": math.inf},
        {"share": 0},
        {"share": 1.5},
        {"share": math.nan},
        {"lanes": 0},
        {"max_per_second": 0},
        {"max_per_second": -1},
        {"max_per_second": math.nan},
    ],
    ids=str,
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pacer(**wrong)


def test_a_small_delivery_is_not_spread_over_the_window_of_a_small_pool():
    """Ten requests from a pool of a hundred an hour go at once; the same ten of twelve do not."""
    for remaining, at_once in ((100, 10), (12, 1)):
        pacer = Pacer(clock=lambda: 0.0, chance=lambda: 0.0)
        pacer.need = 10
        started = 0
        while started < 10 and pacer.take() == 0.0:
            started += 1
            pacer.note(RateLimit(limit=100, remaining=remaining - started, reset_after=3000.0))
        assert started == at_once


@pytest.mark.parametrize("reset_after", [None, -1.0, 1e9], ids=["none", "past", "far away"])
def test_what_is_left_is_believed_without_a_reset(reset_after):
    """A window that was told whole goes on: its later answers count, though they do not say until when."""
    pacer = Pacer(reserve=0.0, lanes=1, clock=lambda: 0.0, chance=lambda: 0.0)
    pacer.take()
    pacer.note(RateLimit(100, 50, 1800.0))
    for left in (10, 5, 7, 0):
        pacer.take()
        pacer.note(RateLimit(100, left, reset_after))
    assert (pacer.remaining, pacer.reset_after) == (0, 1800.0)
    assert pacer.take() == 1800.0
