"""The endpoint page says what the endpoint table says."""

import importlib.util
from pathlib import Path

from airflow_provider_braze.api.endpoints import ENDPOINTS

DOCS = Path(__file__).parents[2] / "docs"


def generator():
    spec = importlib.util.spec_from_file_location("endpoints_page", DOCS / "endpoints.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_as_the_table_makes_it():
    assert (DOCS / "endpoints.md").read_text(encoding="utf-8") == generator().page(), "run: python docs/endpoints.py"


def test_every_endpoint_that_messages_people_has_an_operator():
    without = {name for name in ENDPOINTS if name not in generator().operators()}
    assert {name for name in without if not ENDPOINTS[name].repeatable} == set()
