"""The wheel: what is in it, and that the package works from it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from airflow_provider_braze import __version__

NAME = "airflow_provider_braze_messaging"
START = """
import airflow_provider_braze, urllib.request
from airflow_provider_braze.emulator import BrazeEmulator
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator
with BrazeEmulator() as emulator:
    page = urllib.request.urlopen(emulator.url + "/").read().decode()
print(airflow_provider_braze.__file__)
print("Larkspur Coffee" in page, "<style" in page or ".css" in page)
"""


@pytest.fixture(scope="module")
def wheel(repo, tmp_path_factory):
    """Build from a copy, so that nothing that lies about in the tree helps or disturbs."""
    copy = tmp_path_factory.mktemp("source")
    files = ("pyproject.toml", "README.md", "LICENSE")
    for name in files:
        shutil.copy(repo / name, copy)
    for name in ("airflow_provider_braze", "tests", "demo", "dags_examples"):
        shutil.copytree(repo / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=copy, check=True, capture_output=True
    )
    [built] = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_holds_the_package_and_nothing_else(wheel, names):
    assert wheel.name == f"{NAME}-{__version__}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"airflow_provider_braze", f"{NAME}-{__version__}.dist-info"}
    unwanted = [name for name in names if set(Path(name).parts) & {"__pycache__", "tests", "demo", "dags_examples"}]
    assert unwanted + [name for name in names if Path(name).name.startswith("test_")] == []


def test_it_holds_every_file_of_the_package(repo, names):
    package = repo / "airflow_provider_braze"
    files = {path.relative_to(repo).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= names
    kinds = {Path(name).suffix for name in names if name.startswith("airflow_provider_braze/emulator/")}
    assert kinds >= {".py", ".yaml", ".html", ".css", ".js"}


def test_it_is_typed(names):
    assert "airflow_provider_braze/py.typed" in names, "the classifier says Typing :: Typed"


def test_its_metadata(wheel, names):
    info = f"{NAME}-{__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        points = archive.read(f"{info}/entry_points.txt").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {
        line.split(";")[0].split("[")[0].strip("<>=!~ .0123456789,") for line in metadata.get_all("Requires-Dist")
    }
    assert needed >= {"apache-airflow", "httpx", "pydantic"}
    assert "[apache_airflow_provider]" in points
    assert "[pytest11]" in points


def test_the_requirements_name_what_the_package_imports(wheel):
    """The emulator ships in the wheel: what it needs must come with the package or with Airflow."""
    from importlib import metadata as installed

    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{NAME}-{__version__}.dist-info/METADATA").decode())
    pending = [_name(line) for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    reached = set()
    while pending:
        name = pending.pop()
        if name in reached:
            continue
        reached.add(name)
        try:
            lines = installed.requires(name) or []
        except installed.PackageNotFoundError:
            continue
        pending += [_name(line) for line in lines if "extra ==" not in line]
    assert {"httpx", "pydantic", "starlette", "uvicorn", "pyyaml", "jinja2", "sqlalchemy"} <= reached


def _name(requirement):
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def test_it_works_once_installed(wheel, tmp_path):
    target = tmp_path / "installed"
    uv = Path(sys.executable).parent / "uv"
    subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", sys.executable),
            *("--target", target, wheel),
        ],
        check=True,
        capture_output=True,
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", START],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    where, answer = run.stdout.splitlines()[-2:]
    assert Path(where).is_relative_to(target)
    assert answer == "True True"
