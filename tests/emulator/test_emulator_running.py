"""Starting and stopping: the Python API, the command line, the pytest plugin."""

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml
from emulator_support import LIST, Caller, until_requests

from airflow_provider_braze.emulator import BrazeEmulator
from airflow_provider_braze.emulator.__main__ import _greeting
from airflow_provider_braze.emulator.workspace import _SEED_KEYS, load_seed

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_braze" / "emulator"
SEED = {"api_keys": [{"name": "mine", "key": "it's mine"}], "campaigns": [{"id": "c", "name": "Mine"}]}


def run(*arguments, cwd=ROOT, **options):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **options)


@pytest.fixture
def patient(monkeypatch):
    """Whoever stops an emulator waits for as long as it takes, so that it shows."""
    monkeypatch.setattr("airflow_provider_braze.emulator.runner.PATIENCE_SECONDS", 120)


@pytest.mark.usefixtures("patient")
def test_start_and_stop():
    emulator = BrazeEmulator(seed=SEED)
    emulator.stop()
    with emulator:
        assert emulator.start() is emulator
        url = emulator.url
        assert httpx.get(url + LIST, headers={"Authorization": "Bearer it's mine"}, timeout=60).status_code == 200
        before = time.monotonic()
    assert time.monotonic() - before < 60
    emulator.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + LIST)
    assert json.loads(emulator.connection_json()) == {"conn_type": "braze", "host": url, "password": "it's mine"}


@pytest.mark.usefixtures("patient")
def test_stopping_does_not_wait_for_slow_answers():
    with BrazeEmulator() as emulator, httpx.Client() as client:
        emulator.inject("slow", seconds=600, times=2)
        with pytest.raises(httpx.ReadTimeout):
            client.get(emulator.url + LIST, timeout=httpx.Timeout(60, read=0.1))
        waiting = threading.Thread(target=_ignore_errors, args=(emulator.url + LIST,), daemon=True)
        waiting.start()
        until_requests(emulator, 2)
        before = time.monotonic()
    assert time.monotonic() - before < 60


def _ignore_errors(url):
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, timeout=600)


def test_inside_a_running_event_loop():
    async def use():
        with BrazeEmulator() as emulator:
            async with httpx.AsyncClient(base_url=emulator.url, timeout=60) as client:
                return (await client.get(LIST)).status_code

    assert asyncio.run(use()) == 401


def test_a_port_that_is_taken(braze):
    port = int(braze.url.rsplit(":", 1)[1])
    with pytest.raises(OSError, match="in use"):
        BrazeEmulator(port=port).start()


def test_many_callers_at_once(braze):
    def work(first):
        caller = Caller(braze.url, braze.api_key)
        for start in range(first, first + 500, 50):
            assert caller.to(*range(start, start + 50)).status_code == 201

    threads = [threading.Thread(target=work, args=(n * 500,)) for n in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        braze.summary(), braze.messages()
    assert braze.summary() == {"requests": 80, "recipients": 4000, "total": 4000, "min": 1, "max": 1}


def test_a_seed_file(tmp_path):
    path = tmp_path / "seed.yaml"
    path.write_text(yaml.safe_dump(SEED))
    with BrazeEmulator(seed=path) as emulator:
        caller = Caller(emulator.url, emulator.api_key)
        assert caller.to("unknown", campaign_id="c").status_code == 201
        assert emulator.deliveries() == {}


@pytest.mark.parametrize(
    "seed",
    [
        {"campaign": []},
        {"api_keys": []},
        {"campaigns": [{"id": "c", "state": "asleep"}]},
        {"campaigns": [{"id": "c", "colour": "red"}]},
        {"campaigns": [{"id": "c", "target_audience": {"segment": {}}}]},
        {"users": [{"first_name": "Kim"}]},
    ],
)
def test_seeds_that_make_no_sense(seed):
    with pytest.raises(ValueError, match=r"\w"):
        BrazeEmulator(seed=seed)


def test_the_command_line():
    command = [sys.executable, "-m", "airflow_provider_braze.emulator", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(6)]
            exported = lines[4].strip()
            name, _, value = exported.removeprefix("export ").partition("=")
            connection = json.loads(value.strip("'"))
            assert name == "AIRFLOW_CONN_BRAZE_DEFAULT"
            assert Caller(connection["host"], connection["password"]).to("1").status_code == 201
            assert httpx.get(lines[1].split()[-1], timeout=60).status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120) == ("", "")


def test_an_hour_of_seconds_in_a_process_of_its_own(tmp_path):
    seed = {**SEED, "everyone_is_known": True, "rate_limits": {"default_hourly": {"limit": 1, "seconds": 2}}}
    (tmp_path / "seed.yaml").write_text(yaml.safe_dump(seed))
    arguments = ["--port", "0", "--seed", str(tmp_path / "seed.yaml")]
    command = [sys.executable, "-m", "airflow_provider_braze.emulator", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().split()[5].removesuffix(".")
            caller = Caller(url, "it's mine")
            while (answer := caller.to("1", campaign_id="c")).status_code == 201:
                pass
            assert answer.status_code == 429
            # A moment more: what sleeps goes by another clock.
            time.sleep(max(0, int(answer.headers["x-ratelimit-reset"]) - time.time()) + 0.05)
            assert caller.to("1", campaign_id="c").status_code == 201
        finally:
            process.send_signal(signal.SIGINT)


def test_help_tells_of_the_routes(caller):
    told = run("-m", "airflow_provider_braze.emulator", "--help").stdout
    for route, purpose in caller.http.get("/__emulator__/").json()["see"].items():
        assert route in told
        assert purpose in told
    for route in ("POST /__emulator__/figures", "POST /__emulator__/programs", "?summary=1"):
        assert route in told


def test_all_that_the_seed_file_shows_can_be_said():
    """What stands there as a comment, too."""
    lines = (PACKAGE / "seed.yaml").read_text().splitlines()
    shown = [line.removeprefix("# ") for line in lines if re.match(r"# (  .*|[a-z_]+:)$", line)]
    seed = {**yaml.safe_load("\n".join(lines)), **yaml.safe_load("\n".join(shown))}
    assert {"rate_limits", "figures"} <= set(yaml.safe_load("\n".join(shown)))
    assert set(seed) == _SEED_KEYS
    BrazeEmulator(seed=seed)


def test_a_mistyped_part_of_a_seed_is_named():
    with pytest.raises(ValueError, match="seed: campains is none of api_keys, apps, campaigns, "):
        BrazeEmulator(seed={"campains": []})


def test_a_key_with_a_quote_can_be_pasted():
    export = _greeting("http://127.0.0.1:1", "it's mine", "127.0.0.1").splitlines()[4]
    shell = subprocess.run(
        ["/bin/sh", "-c", f'{export}; printf %s "$AIRFLOW_CONN_BRAZE_DEFAULT"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(shell.stdout)["password"] == "it's mine"
    assert "Careful" not in export
    assert "Careful" in _greeting("http://0.0.0.0:1", "k", "0.0.0.0")


@pytest.mark.parametrize("arguments", [["--seed", "/nowhere.yaml"], ["--host", "192.0.2.1"]])
def test_the_command_line_says_what_is_wrong(arguments):
    result = run("-m", "airflow_provider_braze.emulator", "--port", "0", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("Cannot start: ")
    assert "Traceback" not in result.stderr


def test_importing_is_light():
    code = (
        "import sys, airflow_provider_braze.emulator, airflow_provider_braze.emulator.pytest_plugin;"
        "print([m for m in ('starlette', 'uvicorn', 'jinja2', 'yaml', 'airflow', 'httpx') if m in sys.modules])"
    )
    assert run("-c", code).stdout == "[]\n"


def test_nothing_of_the_rest_of_the_package_is_imported():
    for module in PACKAGE.rglob("*.py"):
        for line in module.read_text().splitlines():
            if "import" in line and "airflow" in line:
                assert "airflow_provider_braze.emulator" in line, f"{module.name}: {line}"


def test_the_pytest_plugin(tmp_path):
    (tmp_path / "test_dag.py").write_text(
        """
import json, os, urllib.request
import pytest

def send(connection, person):
    body = json.dumps({"campaign_id": "c", "recipients": [{"external_user_id": person}]}).encode()
    headers = {"Authorization": "Bearer " + connection["password"], "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(connection["host"] + "/campaigns/trigger/send", body, headers)):
        pass

@pytest.mark.parametrize("turn", [1, 2])
def test_send(braze_emulator, turn):
    braze_emulator.add_campaign("c")
    send(json.loads(os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"]), "7")
    assert braze_emulator.deliveries() == {"external_user_id:7": 1}

def test_unset():
    assert "AIRFLOW_CONN_BRAZE_DEFAULT" not in os.environ

class TestOwnSeed:
    @pytest.fixture
    def braze_emulator_seed(self):
        return {"everyone_is_known": False, "campaigns": [{"id": "c"}]}

    def test_send(self, braze_emulator):
        send(json.loads(os.environ["AIRFLOW_CONN_BRAZE_DEFAULT"]), "7")
        assert braze_emulator.deliveries() == {}

def test_default_seed_again(braze_emulator):
    braze_emulator.add_campaign("c")
    send(json.loads(braze_emulator.connection_json()), "7")
    assert braze_emulator.summary()["total"] == 1
"""
    )
    plugin = "airflow_provider_braze.emulator.pytest_plugin"
    options = ["-q", "-p", "no:airflow_provider_braze_emulator", "-p", plugin, "-p", "no:cacheprovider"]
    result = run("-m", "pytest", *options, str(tmp_path), env={"PYTHONPATH": str(ROOT), "PATH": "/bin:/usr/bin"})
    assert "5 passed" in result.stdout, result.stdout + result.stderr


def test_default_seed_is_sound():
    assert load_seed(None)["everyone_is_known"] is True
