"""A Sphinx extension: ``.. emulator:: routes`` and ``.. emulator:: faults``, tables of what the emulator knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from airflow_provider_braze.emulator.faults import KINDS
from airflow_provider_braze.emulator.guide import routes


def rows(what: str) -> Iterator[Sequence[str]]:
    """The cells of a table, its head first."""
    if what == "routes":
        yield "call", "what it is for"
        yield from ((f"``{route}``", escaped(told)) for route, told in routes().items())
    else:
        yield "kind", "what happens", "options and defaults"
        for name, kind in KINDS.items():
            options = (f"``{option}={given.default!r}``" for option, given in kind.options.items())
            yield f"``{name}``", escaped(kind.summary), ", ".join(options)


def escaped(text: str) -> str:
    """Keep what is a name in quotes or a placeholder from being markup."""
    return text.replace("*", r"\*").replace("`", r"\`").replace("_", r"\_")


class EmulatorTable(SphinxDirective):
    """Lays the rows out as a list table."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give the table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in rows(self.arguments[0]):
            lines += [f"   {'* -' if place == 0 else '  -'} {cell}" for place, cell in enumerate(row)]
        made = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), self.content_offset, made)
        return made.children


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_directive("emulator", EmulatorTable)
    return {"parallel_read_safe": True}
