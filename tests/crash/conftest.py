"""A little Airflow for the whole run, and the cells of the matrix in it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path

import pytest
from crash_support import Cell
from little_airflow import Station, join


@pytest.fixture(scope="session")
def little_airflow(request):
    """The folder of the one little Airflow that all workers of this run share."""
    run = getattr(request.config, "workerinput", {}).get("testrunuid") or f"alone-{os.getpid()}"
    # A socket's path must be short.
    folder = Path(tempfile.gettempdir()) / f"crash-{run[:40]}"
    hold = join(folder)
    yield folder
    hold.close()


@pytest.fixture
def cell(little_airflow, braze_emulator, tmp_path, request):
    """Make the cell of a test; its DAG run bears the test's name."""
    made = []

    def make(dag="campaign", **wishes):
        name = re.sub(r"[^A-Za-z0-9]+", "_", request.node.name).strip("_") + f"_{len(made)}"
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Cell(Station(little_airflow), braze_emulator, folder, dag, name, **wishes))
        return made[-1]

    yield make
    if made and getattr(request.node, "failed", False):
        with contextlib.suppress(Exception):
            print(made[-1].log())
    for one in made:
        one.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Let the fixture show the task's log where the test failed."""
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed
