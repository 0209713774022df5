"""Faults: what can go wrong between a caller and Braze.

``KINDS`` is the one table; the HTTP admin, the Python API and the forms on the inbox page all read it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

Phase = Literal["before", "during", "after"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a fault: its default, and the values it may take (empty = any of the default's type)."""

    default: Any
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """``before``: Braze never acts on the request. ``during``: it acts otherwise. ``after``: the answer suffers.

    One with ``paths`` waits for a request to one of these; others pass it by.
    """

    phase: Phase
    summary: str
    options: Mapping[str, Option] = field(default_factory=dict)
    paths: tuple[str, ...] = ()


EXPORT = "/users/export/ids"
SENDS = (
    *("/messages/send", "/campaigns/trigger/send", "/canvas/trigger/send"),
    *("/messages/schedule/create", "/campaigns/trigger/schedule/create", "/canvas/trigger/schedule/create"),
    *("/transactional/v1/campaigns/{campaign_id}/send", "/messages/live_activity/start"),
)
HEADER_STYLES = ("epoch", "seconds", "absent", "empty", "retry_after", "standard_retry_after")

KINDS: dict[str, Kind] = {
    "rate_limited": Kind(
        "before",
        "429; nothing is delivered",
        {"retry_after": Option(1.0), "header_style": Option("epoch", HEADER_STYLES)},
    ),
    "server_error": Kind("before", "a 5xx answer; nothing is delivered", {"status": Option(500, (500, 502, 503, 504))}),
    "html_error_page": Kind("before", "an HTML page of a proxy; nothing is delivered", {"status": Option(502)}),
    "drop_before_acceptance": Kind("before", "the connection breaks; nothing is delivered"),
    "drop_after_acceptance": Kind("after", "delivered, then the connection breaks without an answer"),
    "slow": Kind("after", "delivered, answered late", {"seconds": Option(1.0)}),
    "errors_in_201": Kind(
        "during",
        "success with errors; the recipients at these places are not delivered",
        {
            "indexes": Option([0]),
            "style": Option("strings", ("strings", "objects")),
            "text": Option("the recipient could not be messaged"),
        },
    ),
    "notice_in_201": Kind(
        "during", "success with a notice; nothing is delivered", {"text": Option("The campaign is paused.")}
    ),
    "swallowed": Kind(
        "during",
        "a send succeeds; these people (external ids, alias names, addresses) are not delivered, and nothing says so",
        {"recipients": Option(["u-1"])},
        SENDS,
    ),
    "late_receipts": Kind(
        "during",
        "an export of people does not tell yet what they received in the last so many seconds",
        {"seconds": Option(60.0)},
        (EXPORT,),
    ),
    "queued_202": Kind("after", "202 queued, as during maintenance; delivered"),
    "echo_key_401": Kind("before", "a 401 whose body repeats the caller's key; nothing is delivered"),
    "garbage_201": Kind("after", "delivered, answered with bytes that are no JSON"),
    "empty_201": Kind("after", "delivered, answered with no body at all"),
}


@dataclass(slots=True)
class Fault:
    """One fault in force: ``skip`` requests pass first, then ``times`` suffer (None = until removed)."""

    id: int
    kind: str
    path: str | None
    times: int | None
    skip: int
    options: dict[str, Any]
    applied: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; the options stand beside the rest, as they are posted."""
        left = None if self.times is None else self.times - self.applied
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "times": self.times,
            "skip": self.skip,
            "applied": self.applied,
            "left": left,
            **self.options,
        }


class Faults:
    """The faults in force; a request suffers the first one that is due."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    def add(self, kind: str, *, path: str | None = None, times: int | None = 1, skip: int = 0, **options: Any) -> Fault:
        """Put a fault in force; refuses kinds, options and values that ``KINDS`` does not know."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
        known = KINDS[kind].options
        for name, value in options.items():
            if name not in known:
                raise ValueError(f"{kind} takes no {name!r}; it takes {', '.join(known) or 'no options'}")
            _refuse_misfit(f"{kind}.{name}", known[name], value)
        if times is not None:
            _refuse_misfit("times", Option(1), times)
            if times < 1:
                raise ValueError("times must be 1 or more, or null for: until removed")
        _refuse_misfit("skip", Option(0), skip)
        _refuse_other_path(kind, path)
        chosen = {name: options.get(name, option.default) for name, option in known.items()}
        fault = Fault(next(self._ids), kind, path or None, times, skip, chosen)
        self._faults.append(fault)
        return fault

    def take(self, path: str, endpoint: str | None) -> Fault | None:
        """The fault that a request to this path suffers now, counted as used.

        ``endpoint`` is the contract's path, for instance with ``{campaign_id}``; a fault may name either. A fault
        without a path waits for an endpoint: a browser asking for an icon must not use it up.
        """
        for fault in self._faults:
            if (endpoint is None) if fault.path is None else (fault.path not in (path, endpoint)):
                continue
            if KINDS[fault.kind].paths and endpoint not in KINDS[fault.kind].paths:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.applied += 1
            if fault.times is not None and fault.applied >= fault.times:
                self._faults.remove(fault)
            return fault
        return None

    def remove(self, fault_id: int) -> bool:
        """Remove one; False where it is gone already."""
        before = len(self._faults)
        self._faults = [fault for fault in self._faults if fault.id != fault_id]
        return len(self._faults) < before

    def clear(self) -> None:
        """Remove all."""
        self._faults = []


def _refuse_other_path(kind: str, path: str | None) -> None:
    paths = KINDS[kind].paths
    if path and paths and not any(fnmatchcase(path, re.sub(r"\{\w+\}", "*", known)) for known in paths):
        raise ValueError(f"{kind} does not happen on {path}, only on {', '.join(paths)}")


def _refuse_misfit(name: str, option: Option, value: Any) -> None:
    if option.choices:
        if value not in option.choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, option.choices))}")
        return
    if isinstance(option.default, str):
        fits = isinstance(value, str)
    elif isinstance(option.default, list):
        fits = isinstance(value, list) and all(isinstance(item, type(option.default[0])) for item in value)
    else:
        number = int if isinstance(option.default, int) else int | float
        fits = isinstance(value, number) and not isinstance(value, bool) and value >= 0
    if not fits:
        raise ValueError(f"{name} does not take {value!r}")
