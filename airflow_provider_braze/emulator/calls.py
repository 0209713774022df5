"""A request on its way to its handler, and the answer on its way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_braze.emulator.faults import Fault
from airflow_provider_braze.emulator.problems import Problem
from airflow_provider_braze.emulator.specification import EndpointSpec
from airflow_provider_braze.emulator.state import State

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``status`` None stands for a connection dropped without one.

    ``free`` says that the call drew nothing from a quota which counts what it makes.
    """

    status: int | None
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    free: bool = False


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None, free: bool = False) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(body, ensure_ascii=False).encode(), {**JSON, **(headers or {})}, free)


def refusal(status: int, message: str, *details: str) -> Answer:
    """Braze's envelope of a fatal error: the wire message, and the details as ``errors``."""
    return json_answer(status, {"message": message, **({"errors": list(details)} if details else {})})


def refuse(problems: list[Problem]) -> Answer:
    """A 400 that says everything at once; the first problem gives the wire message."""
    return refusal(400, problems[0].message, *(problem.detail for problem in problems))


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed validation; ``path`` has its path parameters, ``fault`` is the one it suffers, if any."""

    state: State
    endpoint: EndpointSpec
    body: Mapping[str, Any]
    query: Mapping[str, str]
    path: Mapping[str, str]
    fault: Fault | None

    def fault_of(self, kind: str) -> Mapping[str, Any] | None:
        """The options of the fault where it is of this kind."""
        return self.fault.options if self.fault is not None and self.fault.kind == kind else None

    def answer(self, body: Any) -> Answer:
        """The endpoint's success."""
        return json_answer(self.endpoint.success_status, body)


Handler = Callable[[Call], Answer]
HANDLERS: dict[str, Handler] = {}


def serves(*endpoint_ids: str) -> Callable[[Handler], Handler]:
    """Register a handler under the contract's endpoint ids."""

    def keep(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(endpoint_ids, handler))
        return handler

    return keep
