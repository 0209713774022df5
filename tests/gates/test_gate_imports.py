"""What importing the package drags in: the difference of sys.modules, so that no clock can make it pass or fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_braze

LAYERS = ("hooks", "operators", "sensors", "triggers", "notifications")
AIRFLOW_ALLOWED = ("airflow.providers.common.compat", "airflow.sdk.bases.", "airflow.triggers")
PROBE = """
import json, sys
{before}
known = set(sys.modules)
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
print("\\n" + json.dumps(sorted(set(sys.modules) - known)))
print(json.dumps(sorted(known)))
"""
WITH_AIRFLOW = "from airflow.sdk import DAG, BaseOperator, BaseHook"


def imported(names, before=""):
    """The modules that imports add to a fresh interpreter, and those that were there."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(before=before), *names], check=True, capture_output=True, text=True
    )
    added, known = run.stdout.splitlines()[-2:]
    return set(json.loads(added)), set(json.loads(known))


def modules_of(*layers):
    root = Path(airflow_provider_braze.__path__[0])
    files = [path for layer in layers for path in sorted(Path(root, layer).glob("**/*.py"))]
    names = [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names]


def top(name):
    return name.partition(".")[0]


def third_party(names):
    return {name for name in names if top(name) not in sys.stdlib_module_names | {"airflow_provider_braze"}}


@pytest.fixture(scope="module")
def beside_airflow():
    names = ["airflow_provider_braze", "airflow_provider_braze.delivery.audience", *modules_of(*LAYERS)]
    assert "airflow_provider_braze.operators.send" in names
    assert "airflow_provider_braze.hooks.braze" in names
    assert "airflow_provider_braze.triggers.conditions" in names
    return imported(names, WITH_AIRFLOW)


def test_operators_and_hooks_load_nothing_that_airflow_had_not(beside_airflow):
    added, known = beside_airflow
    assert "airflow_provider_braze.operators.send" in added
    there = {top(name) for name in known}
    assert "airflow" in there
    assert {name for name in third_party(added) if top(name) not in there} == set()


def test_operators_and_hooks_load_little_of_airflow_itself(beside_airflow):
    added, _ = beside_airflow
    parents = {"airflow.providers", "airflow.providers.common"}
    more = {name for name in added if top(name) == "airflow" and name not in parents}
    assert {name for name in more if not name.startswith(AIRFLOW_ALLOWED)} == set()


def test_operators_and_hooks_leave_models_and_client_for_the_run(beside_airflow):
    added, _ = beside_airflow
    assert "airflow_provider_braze.api.errors" in added
    heavy = tuple(f"airflow_provider_braze.api.{name}" for name in ("models", "client", "wire", "endpoints"))
    assert {name for name in added if name.startswith(heavy)} == set()


def test_the_entry_point_loads_no_airflow():
    added, _ = imported(["airflow_provider_braze.get_provider_info"])
    assert "airflow_provider_braze.get_provider_info" in added
    assert third_party(added) == set()


@pytest.mark.parametrize(
    "name", ["airflow_provider_braze", "airflow_provider_braze.emulator", "airflow_provider_braze.emulator.__main__"]
)
def test_light_modules_load_nothing_of_others(name):
    added, _ = imported([name])
    assert name in added
    assert third_party(added) == set()


def test_the_pytest_plugin_is_light():
    added, _ = imported(["airflow_provider_braze.emulator.pytest_plugin"], "import pytest")
    assert "airflow_provider_braze.emulator.pytest_plugin" in added
    assert third_party(added) == set()
