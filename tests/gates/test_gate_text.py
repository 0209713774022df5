"""No tracked file tells of the machine it was written on, and the pins are pins."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9,._-]+\])?==[^\s;=]+( ; .+)?")
REQUIREMENTS = ("airflow-3.1.txt", "airflow-newest.txt")
HOME_FOLDERS = re.compile(r"(?<![\w.])/(home|Users|root)/[\w.-]+")
# Folders of every machine, which say nothing about this one.
COMMON = {"/", "/tmp", "/opt", "/srv", "/home", "/var", "/usr"}


@pytest.fixture(scope="module")
def tracked(repo):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo, check=True, capture_output=True, text=True).stdout
    files = [repo / name for name in listed.split("\0") if name]
    assert repo / "pyproject.toml" in files
    return {path: path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()}


def test_no_file_knows_the_folders_of_this_machine(tracked, repo):
    outside = {str(repo), str(repo.parent), str(Path.home())} - COMMON
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(folder)}(?=/|\b)" for folder in sorted(outside)))
    assert pattern.search(f"see {repo}/x")
    found = {str(path): hit[0] for path, text in tracked.items() if (hit := pattern.search(text))}
    found |= {str(path): hit[0] for path, text in tracked.items() if (hit := HOME_FOLDERS.search(text))}
    assert found == {}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_hold_pins_and_nothing_else(tracked, repo, name):
    lines = tracked[repo / "requirements" / name].splitlines()
    assert len(lines) > 50
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_requirements_name_no_registry(tracked, repo):
    for path, text in tracked.items():
        if path.parent == repo / "requirements":
            assert not re.search(r"https?://|--(extra-)?index-url|--find-links|--trusted-host|-i\s", text), path


def test_the_pins_are_of_the_airflow_that_they_are_named_for(tracked, repo):
    newest, oldest = (tracked[repo / "requirements" / name] for name in reversed(REQUIREMENTS))
    assert re.search(r"^apache-airflow==3\.1\.\d+$", oldest, re.MULTILINE)
    assert re.search(r"^apache-airflow==3\.([3-9]|\d\d)\.\d+$", newest, re.MULTILINE)
