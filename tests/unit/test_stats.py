"""The counters, as a StatsD server gets them, and that nothing about them fails a task."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest

from airflow_provider_braze.delivery.report import Report

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
