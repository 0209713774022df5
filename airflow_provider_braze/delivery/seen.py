"""Remembers who was in the audience already, in bounded memory.

The first 50,000 recipients are kept in a set (about 6 MB for ids of ten characters), all others in a temporary SQLite
file, which holds at most 4 MB in memory and about 40 bytes per recipient on disk. The file has no name and vanishes
with the process. Identities are compared whole: a hash that collided would drop somebody.
"""

from __future__ import annotations

import sqlite3
from functools import cache

IN_MEMORY = 50_000
_SETTINGS = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-4096; PRAGMA locking_mode=EXCLUSIVE;"
# Some builds of SQLite take no more than 999 values in a statement.
_ROWS_A_STATEMENT = 400


class Seen:
    """A set of identities that outgrows memory gracefully.

    :param in_memory: how many identities to hold before going on on disk.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._names: set[str] = set()
        self._file: sqlite3.Connection | None = None
        self._count = 0

    def add_all(self, identities: list[str]) -> list[bool]:
        """Take note of some identities in order; tell of each whether it is new."""
        if self._file is None and len(self._names) + len(identities) <= self._in_memory:
            return [self._is_new(name) for name in identities]
        self._file = self._file or _open_file()
        new: list[bool] = []
        for start in range(0, len(identities), _ROWS_A_STATEMENT):
            new += self._add_to_disk(self._file, identities[start : start + _ROWS_A_STATEMENT])
        if self._names.isdisjoint(identities):
            return new
        return [is_new and name not in self._names for name, is_new in zip(identities, new, strict=True)]

    def _is_new(self, name: str) -> bool:
        before = len(self._names)
        self._names.add(name)
        return len(self._names) > before

    def _add_to_disk(self, file: sqlite3.Connection, identities: list[str]) -> list[bool]:
        first, self._count = self._count, self._count + len(identities)
        values = [value for row in enumerate(identities, first) for value in row]
        if file.execute(_insert(len(identities)), values).rowcount == len(identities):
            return [True] * len(identities)
        held = dict(file.execute(_select(len(identities)), identities).fetchall())
        return [held[name] == row for row, name in enumerate(identities, first)]

    def close(self) -> None:
        """Let go of memory and file."""
        self._names = set()
        if self._file is not None:
            self._file.close()
            self._file = None


def _open_file() -> sqlite3.Connection:
    file = sqlite3.connect("", isolation_level=None)
    file.executescript(_SETTINGS + "CREATE TABLE seen (row INTEGER, identity TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN;")
    return file


@cache
def _insert(rows: int) -> str:
    return "INSERT OR IGNORE INTO seen VALUES " + ", ".join(["(?, ?)"] * rows)  # noqa: S608


@cache
def _select(rows: int) -> str:
    return f"SELECT identity, row FROM seen WHERE identity IN ({', '.join('?' * rows)})"  # noqa: S608
