"""The arrows between the parts of the package, read off its source: functions and TYPE_CHECKING blocks included."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

import airflow_provider_braze

NAME = "airflow_provider_braze"
ROOT = Path(airflow_provider_braze.__path__[0])
MOST_LINES = 400
# What each part may import of ours; "__version__" stands for the package itself. The parts named last may import all
# but the emulator, which nobody imports.
MAY_IMPORT = {
    "__init__": set(),
    "get_provider_info": set(),
    "api": {"api", "__version__"},
    "delivery": {"api", "delivery"},
    "conditions": {"api", "delivery", "conditions"},
    "guards": {"api", "delivery"},
    "given": set(),
    "outputs": {"delivery"},
    "stats": set(),
    "hooks": {"api", "delivery", "conditions", "hooks", "get_provider_info"},
    "emulator": {"emulator"},
}
OUTERMOST = ("operators", "sensors", "triggers", "notifications", "links", "assets")
MAY_IMPORT |= {part: {*MAY_IMPORT, *OUTERMOST, "__version__"} - {"emulator", "__init__"} for part in OUTERMOST}
NO_AIRFLOW = {"__init__", "get_provider_info", "api", "conditions", "emulator"}
HTTP_LIBRARIES = {"httpx", "httpx2", "aiohttp", "httpx_aiohttp", "requests", "urllib3"}
SERVER_LIBRARIES = {"starlette", "uvicorn", "jinja2", "yaml"}

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


class Import(NamedTuple):
    module: str
    for_types_only: bool


class Finder(ast.NodeVisitor):
    """Collects every import with what it reaches, wherever it stands."""

    def __init__(self):
        self.found = []
        self._types = False

    def visit_If(self, node):
        self.visit(node.test)
        before, self._types = self._types, self._types or ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in node.body:
            self.visit(child)
        self._types = before
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node):
        self.found += [Import(alias.name, self._types) for alias in node.names]

    def visit_ImportFrom(self, node):
        assert node.level == 0, "relative imports hide where they lead"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            is_module = whole.removeprefix(f"{NAME}.") in FILES
            of_package = node.module == NAME and not is_module
            self.found.append(Import(whole if is_module or of_package else node.module, self._types))

    def visit_Call(self, node):
        called = ast.unparse(node.func)
        assert called not in {"__import__", "import_module", "importlib.import_module"}, "an import that cannot be read"
        self.generic_visit(node)


def imports_of(source):
    finder = Finder()
    finder.visit(ast.parse(source))
    return finder.found


def ours(imports):
    return [one.module.removeprefix(f"{NAME}.") for one in imports if one.module.split(".")[0] == NAME]


def part_of(module):
    return module.split(".")[0]


IMPORTS = {module: imports_of(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


def test_there_is_something_to_look_at():
    assert {"api.wire", "delivery.engine", "guards", "hooks.braze", "operators.send", "emulator.api"} <= set(FILES)
    assert "httpx" in {one.module for one in IMPORTS["api.wire"]}
    assert "api.client" in ours(IMPORTS["hooks.braze"])
    assert "guards" in ours(IMPORTS["operators.base"])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (f"from {NAME} import __version__", f"{NAME}.__version__"),
        (f"def f():\n    from {NAME} import guards", f"{NAME}.guards"),
        (f"class A:\n    def f(self):\n        import {NAME}.emulator.api", f"{NAME}.emulator.api"),
        (f"if TYPE_CHECKING:\n    from {NAME}.api import client", f"{NAME}.api.client"),
        (f"try:\n    from {NAME}.api.client import BrazeClient\nexcept ImportError: pass", f"{NAME}.api.client"),
    ],
)
def test_the_finder_finds_imports_wherever_they_stand(source, found):
    assert [one.module for one in imports_of(source)] == [found]
    assert [one.for_types_only for one in imports_of(source)] == ["TYPE_CHECKING" in source]


@pytest.mark.parametrize("module", FILES)
def test_arrows_run_one_way(module):
    part = part_of(module)
    assert part in MAY_IMPORT, f"say in MAY_IMPORT what {part} may import"
    reached = {part_of(name) for name in ours(IMPORTS[module])}
    assert reached <= MAY_IMPORT[part]


@pytest.mark.parametrize("module", [module for module in FILES if part_of(module) in NO_AIRFLOW])
def test_these_know_nothing_of_airflow(module):
    assert "airflow" not in {one.module.split(".")[0] for one in IMPORTS[module]}


@pytest.mark.parametrize("module", [module for module in FILES if module != "api.wire"])
def test_http_libraries_are_imported_in_one_place(module):
    at_run_time = {one.module.split(".")[0] for one in IMPORTS[module] if not one.for_types_only}
    assert not at_run_time & HTTP_LIBRARIES
    assert part_of(module) == "emulator" or not at_run_time & SERVER_LIBRARIES


def circles(graph):
    """The groups of modules that reach each other."""
    reach = {module: set(targets) for module, targets in graph.items()}
    for middle in graph:
        for module in graph:
            if middle in reach[module]:
                reach[module] |= reach[middle]
    return sorted({tuple(sorted(other for other in reach[one] if one in reach.get(other, ()))) for one in graph} - {()})


def test_no_two_modules_import_each_other():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [("a", "b", "c")]
    graph = {module: {name for name in ours(found) if name in FILES} for module, found in IMPORTS.items()}
    assert circles(graph) == []


@pytest.mark.parametrize("module", FILES)
def test_no_module_is_too_long_to_read(module):
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= MOST_LINES
