"""What tests of the sensors share: a wait from its first look to its end, on a worker or in a triggerer."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.sdk.bases.sensor import AirflowRescheduleException

from airflow_provider_braze.conditions import asking
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator, BrazeSendCanvasOperator
from airflow_provider_braze.sensors import base
from airflow_provider_braze.triggers import conditions

MODES = ["poke", "reschedule", "deferrable"]
WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
# What is waited for comes at once: only a wait that hangs gets there.
PATIENCE = 60.0


@pytest.fixture
def campaign():
    return WEEKLY


@pytest.fixture
def canvas():
    """The seed's Canvas, which has the same id as its campaign."""
    return WEEKLY


class _Worker:
    """Runs a task as Airflow does: each time that it comes back there is a new operator object."""

    def __init__(self, make, context):
        first = datetime.now(UTC)
        self.make, self.looks = make, 0
        run = SimpleNamespace(run_after=first, logical_date=first, run_id="test", run_type="manual", start_date=first)
        ti = SimpleNamespace(get_first_reschedule_date=lambda _: first if self.looks else None)
        self.context = {"ti": ti, "dag_run": run, **context}

    def to_the_end(self):
        step = self._begin
        while True:
            try:
                return step()
            except AirflowRescheduleException as later:
                self.looks += 1
                time.sleep(max((later.reschedule_date - datetime.now(UTC)).total_seconds(), 0))
                step = self._begin
            except TaskDeferred as deferral:
                step = self._resumed(deferral)

    def _begin(self):
        return self.make().execute(self.context)

    def _resumed(self, deferral):
        kwargs = {**(deferral.kwargs or {})}
        seconds = PATIENCE if deferral.timeout is None else min(deferral.timeout.total_seconds(), PATIENCE)
        try:
            kwargs["event"] = asyncio.run(asyncio.wait_for(_fired(deferral.trigger), seconds))
            method = deferral.method_name
        except TimeoutError:
            method, kwargs = "__fail__", {"error": "Trigger timeout"}
        return lambda: self.make().resume_execution(method, kwargs, self.context)


async def _fired(trigger):
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))
    async with contextlib.aclosing(again.run()) as events:
        event = await anext(events)
    return json.loads(json.dumps(event.payload))


@pytest.fixture
def wait(braze_emulator):
    """Let a sensor wait to its end and give what it returns, of which it has made sure that it fits into XCom."""

    def run(kind, *, how="poke", context=None, **parameters):
        given = {"task_id": "wait", "poke_interval": 0.05, "timeout": PATIENCE, **parameters}
        if how == "deferrable":
            given["deferrable"] = True
        else:
            given["mode"], given["deferrable"] = how, False
        result = _Worker(lambda: kind(**given), context or {}).to_the_end()
        assert type(result) is dict
        assert json.loads(json.dumps(result)) == result
        return result

    assert braze_emulator.summary()["requests"] == 0
    return run


@pytest.fixture
def after_looks(braze_emulator):
    """Change something as soon as Braze was asked so many times at a path."""
    threads = []

    def plan(path, looks, change):
        def watch():
            end = time.monotonic() + PATIENCE
            while sum(count for name, count in braze_emulator.request_counts().items() if path in name) < looks:
                if time.monotonic() > end:
                    raise RuntimeError(f"{path} was not asked {looks} times: {braze_emulator.request_counts()}")
                time.sleep(0.01)
            change()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        threads.append(thread)

    yield plan
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def hours_pass(monkeypatch):
    """Put the clock of the sensors and their trigger forward; call it with how many hours."""

    class Clock(datetime):
        ahead = timedelta()

        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + cls.ahead

    for module in (asking, base, conditions):
        monkeypatch.setattr(module, "datetime", Clock)

    def forward(hours):
        Clock.ahead = timedelta(hours=hours)

    return forward


@pytest.fixture
def send(braze_emulator):
    """Send a campaign (or a Canvas) to people; gives the task's report."""

    def run(*recipients, canvas_id=None, campaign_id=WEEKLY, **parameters):
        people = list(recipients)
        if canvas_id is not None:
            task = BrazeSendCanvasOperator(task_id="send", canvas_id=canvas_id, recipients=people, **parameters)
        else:
            task = BrazeSendCampaignOperator(task_id="send", campaign_id=campaign_id, recipients=people, **parameters)
        return task.execute({})

    return run


@pytest.fixture
def asked(braze_emulator):
    """How often Braze was asked at a path."""
    return lambda path: sum(count for name, count in braze_emulator.request_counts().items() if path in name)


@pytest.fixture
def other_braze(connection, served):
    """A Braze that answers what a test says: a dict of path to (status, content); the connection points at it."""

    def start(answers):
        calls = []

        def answer(path, _):
            calls.append(path)
            return (*answers[path], {})

        connection(host=served(answer))
        return calls

    return start
