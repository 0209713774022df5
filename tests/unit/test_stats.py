"""The counters, as a StatsD server gets them, and that nothing about them fails a task."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import airflow.sdk
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from task_states import NEVER_EXPIRE, TaskState

from airflow_provider_braze import stats
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

TAGS = {"dag_id": "weekly", "task_id": "offers.send", "endpoint": "campaigns_trigger_send"}
# On Airflow 3.3 the worker says at its start where metrics go; before, they found it out by themselves.
COUNT = """
import json, sys
try:
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils
except ImportError:
    pass
else:
    stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
from airflow_provider_braze.stats import count
for report in json.loads(sys.argv[1]):
    count(report, **json.loads(sys.argv[2]))
print("done")
"""


def count_elsewhere(reports, tags=TAGS, **metrics):
    """Count in a process of its own, since Airflow reads its settings once; gives what that wrote."""
    settings = {f"AIRFLOW__METRICS__{name.upper()}": str(value) for name, value in metrics.items()}
    run = subprocess.run(
        [sys.executable, "-c", COUNT, json.dumps(reports), json.dumps(tags)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "done"
    return run.stdout + run.stderr


@pytest.fixture
def listener():
    """A StatsD server; call it for our lines. Loopback has delivered them when the process that wrote them ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)

        def lines():
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(server.recv(4096).decode())
            # Airflow counts things of its own.
            return sorted(line for line in found if "braze" in line)

        lines.address = {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": server.getsockname()[1]}
        yield lines


def report(**counts):
    made = Report(**counts).as_dict()
    assert json.loads(json.dumps(made)) == made
    return made


def test_every_count_of_a_report(listener):
    made = report(requests=3, accepted=101, failed=2, unknown=50, skipped=7, invalid=4, duplicates=9, recipients=173)
    count_elsewhere([made], **listener.address)
    assert listener() == sorted(
        [
            "airflow.braze.requests:3|c",
            "airflow.braze.recipients.accepted:101|c",
            "airflow.braze.recipients.failed:2|c",
            "airflow.braze.recipients.unknown:50|c",
            "airflow.braze.recipients.skipped:7|c",
            "airflow.braze.recipients.invalid:4|c",
            "airflow.braze.recipients.duplicates:9|c",
        ]
    )


def test_the_tags(listener):
    count_elsewhere([report(requests=1)], **listener.address, statsd_influxdb_enabled=True)
    [line] = listener()
    name, *tags = line.removesuffix(":1|c").split(",")
    assert name == "airflow.braze.requests"
    assert dict(tag.split("=") for tag in tags) == TAGS


def test_nothing_is_written_of_what_did_not_happen(listener):
    count_elsewhere([report(), {}, {"accepted": None, "requests": 0}], **listener.address)
    assert listener() == []


def test_what_an_earlier_try_achieved_was_counted_then(listener):
    count_elsewhere(
        [report(accepted=100, requests=2), report(accepted=150, accepted_before=100, requests=1)], **listener.address
    )
    assert listener() == sorted(
        [
            "airflow.braze.recipients.accepted:100|c",
            "airflow.braze.requests:2|c",
            "airflow.braze.recipients.accepted:50|c",
            "airflow.braze.requests:1|c",
        ]
    )


def test_a_pause_is_no_end(listener):
    made = report(requests=3, accepted=150, failed=1, unknown=50, skipped=99, invalid=4, duplicates=9)
    count_elsewhere([made], {**TAGS, "paused": True}, **listener.address)
    assert listener() == sorted(
        [
            "airflow.braze.requests:3|c",
            "airflow.braze.recipients.accepted:150|c",
            "airflow.braze.recipients.invalid:4|c",
            "airflow.braze.recipients.duplicates:9|c",
        ]
    )


def test_the_audience_is_counted_by_the_try_that_begins_the_delivery(listener):
    made = report(requests=1, accepted=250, accepted_before=200, failed=1, invalid=4, duplicates=9)
    count_elsewhere([made], {**TAGS, "goes_on": True}, **listener.address)
    assert listener() == sorted(
        [
            "airflow.braze.requests:1|c",
            "airflow.braze.recipients.accepted:50|c",
            "airflow.braze.recipients.failed:1|c",
        ]
    )


def test_whom_braze_refused_in_another_task_was_counted_there(listener):
    count_elsewhere([report(failed=3, failed_elsewhere=2), report(failed_elsewhere=1, failed=1)], **listener.address)
    assert listener() == ["airflow.braze.recipients.failed:1|c"]


def test_one_report_after_another(listener):
    count_elsewhere([report(requests=1), report(requests=2)], **listener.address)
    assert listener() == ["airflow.braze.requests:1|c", "airflow.braze.requests:2|c"]


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"statsd_on": True, "statsd_host": "no-such-host.invalid", "statsd_port": 8125},
        {"statsd_on": True, "statsd_custom_client_path": "no.such.Client"},
        {"statsd_on": True, "statsd_host": "127.0.0.1", "statsd_port": 1},
    ],
    ids=["metrics are off", "no such host", "no such client", "nobody listens"],
)
def test_metrics_that_do_not_work_fail_nothing(metrics):
    printed = count_elsewhere([report(requests=1, accepted=50)], **metrics)
    assert "Traceback" not in printed.partition("Could not configure")[0]


def test_reports_that_are_none_fail_nothing(listener):
    strange = [{"accepted": "many"}, {"requests": [1]}, {"accepted": 1, "accepted_before": "x"}, None, 7]
    printed = count_elsewhere([*strange, report(requests=1)], **listener.address)
    assert printed.count("The delivery is not in Airflow's metrics") == len(strange)
    assert listener() == ["airflow.braze.requests:1|c"]


def test_a_delivery_that_defers_is_counted_once(braze_emulator, monkeypatch, connection):
    """Whatever comes of the tries together is what the counters say in the end."""
    monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", NEVER_EXPIRE, raising=False)  # Airflow 3.1 has no such word.
    counted = Counter()
    monkeypatch.setattr(stats, "_increase", lambda: lambda name, number, tags: counted.update({name: number}))
    connection(extra={"lanes": 1})
    people = [f"p{number}" for number in range(300)]
    task = BrazeSendCampaignOperator(
        task_id="send",
        campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
        recipients=people + people[:10],
        max_quota_wait=timedelta(seconds=1),
    )
    braze_emulator.inject("rate_limited", retry_after=600.0, header_style="retry_after", skip=2)
    instance = SimpleNamespace(try_number=1, max_tries=0, dag_id="d", run_id="r", task_id="send", map_index=-1)
    instance.xcom_push = lambda **_: None
    context = {"ti": instance, "task_state_store": TaskState()}
    with pytest.raises(TaskDeferred):
        task.execute(context)
    assert counted == {"braze.requests": 2, "braze.recipients.accepted": 100, "braze.recipients.duplicates": 10}
    report = task.resume(context)
    assert (report["accepted"], report["skipped"]) == (300, 0)
    assert counted == {"braze.requests": 6, "braze.recipients.accepted": 300, "braze.recipients.duplicates": 10}
