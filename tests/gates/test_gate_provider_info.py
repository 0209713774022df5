"""What Airflow learns of the provider: both of its schemas, and its own discovery."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import airflow
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_braze
from airflow_provider_braze.get_provider_info import get_provider_info

DISTRIBUTION = "airflow-provider-braze-messaging"
INFO = get_provider_info()
ROOT = Path(airflow_provider_braze.__path__[0])
# The API server's own way to the connection form, run where nothing else has been imported.
FORM = """
import json, sys
from airflow.providers_manager import ProvidersManager
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
provider = ProvidersManager().providers["airflow-provider-braze-messaging"]
[form] = [one for one in HookMetaService.hook_meta_data() if one.connection_type == "braze"]
form = json.loads(form.model_dump_json())
imported = "airflow_provider_braze.hooks.braze" in sys.modules
print("\\n" + json.dumps({"form": form, "version": provider.version, "hook_imported": imported}))
"""


def schema(name):
    return json.loads((Path(airflow.__file__).parent / name).read_text(encoding="utf-8"))


def test_valid_by_the_schema_that_discovery_uses():
    validator = jsonschema.Draft7Validator(schema("provider_info.schema.json"))
    assert [error.message for error in validator.iter_errors(INFO)] == []


def test_every_key_is_one_that_airflow_knows():
    assert set(INFO) <= set(schema("provider_info.schema.json")["properties"])


def test_the_connection_type_is_valid_by_the_stricter_schema():
    whole = schema("provider.yaml.schema.json")
    part = {**whole["properties"]["connection-types"], "definitions": whole.get("definitions", {})}
    validator = jsonschema.Draft7Validator(part)
    assert [error.message for error in validator.iter_errors(INFO["connection-types"])] == []
    fields = part["items"]["properties"]
    if "conn-fields" in fields:
        assert list(validator.iter_errors([{**INFO["connection-types"][0], "ui-field-behaviour": {"hidden": []}}]))


def test_package_name_is_the_canonical_name_of_the_distribution():
    name = metadata.metadata(DISTRIBUTION)["Name"]
    assert INFO["package-name"] == re.sub(r"[-_.]+", "-", name).lower()


def test_the_entry_point_leads_to_it():
    [point] = metadata.distribution(DISTRIBUTION).entry_points.select(group="apache_airflow_provider")
    assert point.load()() == INFO


def test_the_installed_version_is_the_packages():
    assert metadata.version(DISTRIBUTION) == airflow_provider_braze.__version__


# A base that is not for use by itself lacks what makes a whole class.
@pytest.mark.parametrize(
    ("key", "kind", "is_whole"),
    [
        ("hooks", BaseHook, "conn_type"),
        ("operators", BaseOperator, "endpoint"),
        ("sensors", BaseSensorOperator, "poke"),
        ("triggers", BaseTrigger, "run"),
    ],
)
def test_the_modules_named_exist_and_none_is_left_out(key, kind, is_whole):
    named = {name for row in INFO[key] for name in row["python-modules"]}
    files = {path.stem for path in (ROOT / key).glob("*.py")} - {"__init__", "base"}
    existing = {}
    for name in {f"airflow_provider_braze.{key}.{stem}" for stem in files} | named:
        module = importlib.import_module(name)
        existing[name] = any(
            isinstance(value, type)
            and issubclass(value, kind)
            and value.__module__ == name
            and hasattr(value, is_whole)
            for value in vars(module).values()
        )
    assert named == {name for name, has_a_class in existing.items() if has_a_class}
    assert {row["integration-name"] for row in INFO[key]} == {row["integration-name"] for row in INFO["integrations"]}


def test_the_hook_class_matches_the_connection_type():
    [row] = INFO["connection-types"]
    module, _, name = row["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (row["connection-type"], row["hook-name"])
    assert (hook.conn_name_attr, hook.default_conn_name) == ("braze_conn_id", "braze_default")


def test_airflow_discovers_the_provider_and_its_form():
    run = subprocess.run([sys.executable, "-c", FORM], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "airflow-provider-braze-messaging" not in run.stderr, "Airflow complained about the provider"
    found = json.loads(run.stdout.splitlines()[-1])
    form, fields = found["form"], found["form"]["standard_fields"]
    assert found["version"] == airflow_provider_braze.__version__
    assert (form["hook_name"], form["hook_class_name"]) == ("Braze", "airflow_provider_braze.hooks.braze.BrazeHook")
    assert fields["host"] == {"hidden": False, "title": "REST endpoint", "placeholder": "rest.iad-01.braze.com"}
    assert fields["password"]["title"] == "REST API key"
    assert all(fields[name]["hidden"] for name in ("url_schema", "login"))
    if airflow.__version__.startswith("3.1."):
        return  # It reads the form off the hook, which has no fields of its own there.
    assert not found["hook_imported"]
    assert set(form["extra_fields"]) == set(INFO["connection-types"][0]["conn-fields"]) >= {"timeout", "lanes"}
    assert form["extra_fields"]["timeout"]["schema"]["title"] == "Timeout (seconds)"
