"""The site builds without a warning, leads nowhere that is not there, and leaves out nothing public."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from airflow.sdk import BaseHook, BaseNotifier, BaseOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_braze
from airflow_provider_braze.api.errors import BrazeError
from airflow_provider_braze.delivery.audience import Audience
from airflow_provider_braze.delivery.ledger import Ledger

REPO = Path(__file__).parents[2]
DOCS = REPO / "docs"
PUBLIC = (BaseOperator, BaseTrigger, BaseNotifier, BaseHook, Audience, Ledger, BrazeError)
# Made by the package for itself.
INTERNAL = {"UnusableAudience", "StagedAudience", "CallOff"}


class Page(HTMLParser):
    """One page's links, and what can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: its pages by path."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", folder / "doctrees", DOCS, folder / "html"], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return {path: Page(path) for path in (folder / "html").rglob("*.html")}


def text_of(site, name):
    [page] = [page for path, page in site.items() if path.name == name and path.parent.name == "reference"]
    return re.sub(r"<[^>]+>", "", page.path.read_text(encoding="utf-8"))


def test_no_link_is_dead(site):
    dead = []
    for path, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (target in site and parts.fragment and not known(site[target], parts.fragment)):
                dead.append(f"{path.name}: {link}")
    assert dead == []
    assert sum(len(page.links) for page in site.values()) > 500


def known(page, fragment):
    return unquote(fragment) in page.anchors


def test_each_page_and_each_picture_is_used(site):
    pages = {path.stem for path in DOCS.glob("*.md")}
    assert pages <= {path.stem for path in site}
    [index] = [page for path, page in site.items() if path.name == "index.html" and path.parent.name == "html"]
    reached = {urlsplit(link).path.removesuffix(".html") for link in index.links}
    assert pages - {"index", "endpoints"} <= reached
    shown = {unquote(link).rpartition("/")[2] for page in site.values() for link in page.links}
    assert {picture.name for picture in DOCS.glob("images/*.png")} <= shown


def test_each_example_is_shown():
    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    shown = re.findall(r"literalinclude} \.\./dags_examples/(\w+\.py)", page)
    assert sorted(shown) == sorted(path.name for path in (REPO / "dags_examples").glob("*.py"))


def public_classes():
    found = [each.name for each in pkgutil.walk_packages(airflow_provider_braze.__path__, "airflow_provider_braze.")]
    # All of them first, so that every class knows its children.
    for module in [importlib.import_module(name) for name in found if ".emulator" not in name]:
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, PUBLIC):
                # Operators have bases here that nobody puts into a DAG; those are named for what they share.
                is_base = not issubclass(value, (Audience, Ledger, BrazeError)) and any(
                    each.__module__.startswith("airflow_provider_braze") for each in value.__subclasses__()
                )
                if not (name.startswith("_") or is_base or name in INTERNAL or inspect.isabstract(value)):
                    yield f"{value.__module__}.{name}"


def test_everything_public_is_in_the_reference(site):
    documented = set().union(*(page.anchors for path, page in site.items() if path.parent.name == "reference"))
    names = set(public_classes())
    assert "airflow_provider_braze.operators.send.BrazeSendCampaignOperator" in names
    assert len(names) > 40
    assert sorted(names - documented) == []


def test_an_operator_is_shown_with_the_parameters_of_its_bases(site):
    text = text_of(site, "operators.html")
    canvas = text[text.index("class BrazeSendCanvasOperator") : text.index("class BrazeSendMessagesOperator")]
    named = re.findall(r"^(\w+) \(", canvas, re.MULTILINE)
    assert named[0] == "canvas_id"
    assert {"canvas_id", "recipients", "max_invalid", "on_unknown", "max_staleness", "braze_conn_id"} <= set(named)
    assert len(named) == len(set(named))
    assert "canvas_id (str, required)" in canvas
    assert "max_staleness (timedelta | None, default 24.0 hours)" in canvas
    assert not {"retries", "pool", "owner"} & set(named), "Airflow documents its own"


def test_the_readme_leads_to_what_is_there():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        path, _, anchor = link.partition("#")
        target = REPO / path
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, link
