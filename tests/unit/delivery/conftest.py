import pytest


@pytest.fixture
def braze_emulator_seed():
    return {"users": []}
