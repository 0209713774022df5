"""A workspace to talk to whose key is hard to hide: it changes when it is quoted for a URL."""

import pytest

KEY = "k3y/with+signs=and%more"


@pytest.fixture
def braze_emulator_seed():
    return {"api_keys": [{"name": "Tests", "key": KEY, "permissions": "*"}]}


@pytest.fixture
def key():
    return KEY
