"""A real Airflow with its UI, as `make ui` starts it, and a real browser: Debian's Chromium, without a window."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Of each step; a machine that runs other tests beside may take a minute for what takes a second.
PATIENCE = 120_000


@pytest.fixture(scope="session")
def ui(repo, tmp_path_factory):
    sys.path.insert(0, str(repo / "demo"))
    try:
        from ui import LocalUi
    finally:
        sys.path.remove(str(repo / "demo"))
    with LocalUi(tmp_path_factory.mktemp("ui") / "work") as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    program = shutil.which("chromium")
    assert program, "Chromium is missing: apt-get update && apt-get install -y chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A window of a person who is patient; fails the test where anything but this machine was asked."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    asked = set()
    context.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    yield context.new_page()
    context.close()
    assert asked <= {"127.0.0.1", None}, "the UI asked others than this machine"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where the screenshots go: into the docs with `make screenshots`, else away."""
    return Path(os.environ.get("BRAZE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
