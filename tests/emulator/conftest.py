import json
from pathlib import Path

import pytest
from emulator_support import Caller

from airflow_provider_braze.emulator import BrazeEmulator


@pytest.fixture(scope="session")
def _server():
    with BrazeEmulator() as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def braze(_server, early_in_the_hour):
    """At the default seed: everyone is known. No hour ends in a test, and no day: what was sent is of one of each."""
    _server.reset({})
    return _server


@pytest.fixture
def strict(braze):
    """Only the people of the seed are known."""
    braze.reset({"everyone_is_known": False})
    return braze


@pytest.fixture
def caller(braze):
    caller = Caller(braze.url, braze.api_key)
    yield caller
    caller.http.close()


@pytest.fixture(scope="session")
def examples():
    return json.loads((Path(__file__).parent / "trigger_send_examples.json").read_text())
