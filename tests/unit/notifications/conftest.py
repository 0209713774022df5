"""What tests of the notifier share: a campaign, people on call, and what they got."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk import timezone

from airflow_provider_braze.notifications.braze import BrazeNotifier

INCIDENTS = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
DUE = timezone.datetime(2026, 11, 20, 6)


@pytest.fixture
def notifier():
    """Make a notifier that would tell somebody on call through a campaign."""

    def make(**parameters):
        content = {} if "messages" in parameters else {"campaign_id": INCIDENTS}
        people = {} if "external_user_ids" in parameters else {"recipients": ["on-call-kim"]}
        return BrazeNotifier(**{**content, **people, **parameters})

    return make


@pytest.fixture
def failed():
    """The context of a failed task, as far as it matters here."""
    instance = SimpleNamespace(
        dag_id="nightly_load",
        task_id="load",
        map_index=-1,
        run_id="scheduled__2026-11-20",
        try_number=3,
        log_url="http://airflow.example.com/dags/nightly_load/runs/scheduled__2026-11-20/tasks/load?try_number=3",
    )
    run = SimpleNamespace(dag_id="nightly_load", run_id="scheduled__2026-11-20", logical_date=DUE, run_after=DUE)
    return {"ti": instance, "dag_run": run, "logical_date": DUE, "exception": ValueError("no such table: orders")}


@pytest.fixture
def deadline():
    """The context of a missed deadline, as Airflow makes it: plain JSON."""
    run = {
        "dag_id": "nightly_load",
        "dag_run_id": "manual__1",
        "logical_date": None,
        "run_after": "2026-11-20T06:00:00Z",
    }
    return {"dag_run": run, "deadline": {"id": "0199", "deadline_time": DUE}}


@pytest.fixture
def sent(braze_emulator):
    """The bodies of the requests that reached Braze."""
    return lambda: [request["body"] for request in braze_emulator.requests()]


@pytest.fixture
def talkative(served):
    """A Braze that quotes in its refusals whom a request is to; gives its URL."""

    def answer(_, body):
        names = [one["external_user_id"] for one in json.loads(body)["recipients"]]
        return 400, {"message": f"cannot message {', '.join(names)}"}, {}

    return served(answer)


@pytest.fixture
def refused(braze_emulator):
    """Notify, which must fail with an error that is Airflow's too, has these words, and names nobody."""

    def run(kind, call, *words):
        with pytest.raises(kind) as caught:
            call()
        assert isinstance(caught.value, AirflowException)
        text = str(caught.value)
        assert [word for word in words if word not in text] == [], text
        assert [word for word in ("on-call-kim", braze_emulator.api_key) if word in text] == [], text
        return caught.value

    return run
