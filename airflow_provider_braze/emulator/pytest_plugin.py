"""pytest fixtures: a local Braze for a test, and Airflow's connection ``braze_default`` pointing at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_braze.emulator.runner import BrazeEmulator


@pytest.fixture
def braze_emulator_seed() -> Any:
    """Override it to start from another seed: a path, or a mapping laid over the default seed."""
    return None


@pytest.fixture(scope="session")
def _braze_emulator_server() -> Iterator[BrazeEmulator]:
    from airflow_provider_braze.emulator.runner import BrazeEmulator

    with BrazeEmulator() as emulator:
        yield emulator


@pytest.fixture
def braze_emulator(
    _braze_emulator_server: BrazeEmulator, braze_emulator_seed: Any, monkeypatch: pytest.MonkeyPatch
) -> BrazeEmulator:
    """A local Braze back at its seed; ``AIRFLOW_CONN_BRAZE_DEFAULT`` points at it during the test."""
    emulator = _braze_emulator_server.start()
    emulator.reset({} if braze_emulator_seed is None else braze_emulator_seed)
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_DEFAULT", emulator.connection_json())
    return emulator
