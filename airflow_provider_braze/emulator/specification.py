"""The emulator's own copy of Braze's published contract, read into small frozen records."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a request: its name, its type in the contract's notation, and what limits it."""

    name: str
    type: str
    required: bool
    enum: tuple[Any, ...]
    limits: str
    fields: tuple[Field, ...] = ()
    keys: tuple[str, ...] = ()
    required_unless: str = ""
    required_when: str = ""


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """A nested object of the contract, for instance a recipient."""

    name: str
    fields: tuple[Field, ...]
    rule_ids: tuple[str, ...]
    filters: Mapping[str, Any]
    shapes: Mapping[str, tuple[Field, ...]]


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One endpoint: where it is, who may call it, what it takes and which quota it draws from."""

    id: str
    method: str
    path: str
    permission: str
    body: tuple[Field, ...]
    query: tuple[Field, ...]
    path_params: tuple[str, ...]
    rule_ids: tuple[str, ...]
    success_status: int
    buckets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A rate limit: so many requests in a window of so many seconds."""

    name: str
    limit: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything the emulator knows about Braze."""

    endpoints: Mapping[str, EndpointSpec]
    objects: Mapping[str, ObjectSpec]
    buckets: Mapping[str, Bucket]
    size_limits: Mapping[str, Any]


@functools.cache
def load_contract() -> Contract:
    """Read the contract files that ship with the package; once per process."""
    endpoints = _read("endpoints.yaml")["endpoints"]
    objects = _read("objects.yaml")["objects"]
    common = _read("errors_and_limits.yaml")
    return Contract(
        endpoints={row["id"]: _endpoint(row) for row in endpoints},
        objects={name: _object(name, row) for name, row in objects.items()},
        buckets=_buckets(common["rate_limits"]["buckets"]),
        size_limits=common["size_limits"],
    )


def read_yaml(text: str) -> Any:
    """Parse YAML with libyaml where it is there: the contract takes a second without it."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are the safe ones


def _read(name: str) -> Any:
    return read_yaml(resources.files(__package__).joinpath("contract", name).read_text(encoding="utf-8"))


def _fields(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Field, ...]:
    return tuple(field for row in rows or () for field in _named(row))


def _named(row: Mapping[str, Any]) -> list[Field]:
    """The field, and once more under its older name where it has one."""
    field = Field(
        name=row["name"],
        type=row["type"],
        required=bool(row.get("required")) and "required_unless" not in row,
        enum=tuple(row.get("enum") or ()),
        limits=row.get("constraints") or "",
        fields=_fields(row.get("fields")),
        keys=tuple(row.get("keys") or ()),
        required_unless=row.get("required_unless") or "",
        required_when=row.get("required_when") or "",
    )
    older = row.get("alias_legacy")
    return [field, replace(field, name=older, required=False)] if older else [field]


def _rule_ids(owner: str, rules: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    """Rules without an id of their own are known by their owner and their place: ``attachment#0``."""
    return tuple(rule.get("id") or f"{owner}#{place}" for place, rule in enumerate(rules or ()))


def _object(name: str, row: Mapping[str, Any]) -> ObjectSpec:
    rules = [rule for rule in row.get("constraints") or () if isinstance(rule, dict)]
    shapes = {kind: _fields(fields) for kind, fields in (row.get("message_shapes") or {}).items()}
    return ObjectSpec(name, _fields(row.get("fields")), _rule_ids(name, rules), row.get("filters") or {}, shapes)


def _endpoint(row: Mapping[str, Any]) -> EndpointSpec:
    request = row["request"]
    status = row["response"].get("status_emulator_suggestion")
    return EndpointSpec(
        id=row["id"],
        method=row["method"],
        path=row["path"],
        permission=row["permission"],
        body=_fields(request.get("body")),
        query=_fields(request.get("query")),
        path_params=tuple(field["name"] for field in request.get("path_params") or ()),
        rule_ids=_rule_ids(row["id"], row["constraints"]),
        success_status=status if isinstance(status, int) else 201 if row["method"] == "POST" else 200,
        buckets=tuple(limit["bucket"] for limit in row["rate_limit"]),
    )


_WINDOW_SECONDS = {"second": 1, "seconds": 1, "minute": 60, "hour": 3600, "clock hour": 3600, "day": 86400}


def _buckets(rows: Mapping[str, Any]) -> dict[str, Bucket]:
    buckets = {}
    for name, row in rows.items():
        number, unit = row["window"].split(" (")[0].split(" ", 1)
        if row["limit"] is not None:
            buckets[name] = Bucket(name, row["limit"], int(number) * _WINDOW_SECONDS[unit])
    return buckets
