"""Braze's REST API as an ASGI application: a request's way through the gates to its handler.

The gates, in order: the URL (404), the key (401), its network and permission (403), the content type (415), the
size (413), JSON (400), the quota (429), the contract (400).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_braze.emulator import misfortune
from airflow_provider_braze.emulator.connections import drop_connection
from airflow_provider_braze.emulator.faults import KINDS, Fault
from airflow_provider_braze.emulator.handlers import HANDLERS, Answer, Call, refusal, refuse
from airflow_provider_braze.emulator.journal import Exchange, kept
from airflow_provider_braze.emulator.problems import BAD_REQUEST
from airflow_provider_braze.emulator.specification import EndpointSpec, load_contract
from airflow_provider_braze.emulator.state import State
from airflow_provider_braze.emulator.validation import Validator
from airflow_provider_braze.emulator.workspace import ApiKey

# 4 MB, by the smaller of the two possible megabytes.
MOST_BODY_BYTES = 4_000_000


class BrazeApi:
    """Answers as Braze would, and writes down every request."""

    def __init__(self, state: State) -> None:
        contract = load_contract()
        self._state = state
        self._validator = Validator(contract, HANDLERS)
        self._routes = {(contract.endpoints[name].method, contract.endpoints[name].path): name for name in HANDLERS}
        self._paths = {path for _, path in self._routes}
        self._endpoints = contract.endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        body = await _read(request)
        state = self._state
        with state.lock:
            fault = state.faults.take(request.url.path, self._paths)
            answer = self._answer(request, body, fault)
            self._record(request, body or b"", fault, answer)
        if fault is not None and fault.kind == "slow":
            await asyncio.sleep(fault.options["seconds"])
        if answer.status is None:
            await drop_connection(scope, receive)
            return
        await Response(answer.content, answer.status, answer.headers)(scope, receive, send)

    def _answer(self, request: Request, body: bytes | None, fault: Fault | None) -> Answer:
        state = self._state
        if fault is not None and KINDS[fault.kind].phase == "before":
            quota = state.quotas.look(state.clock.now())
            return misfortune.instead_of_braze(fault, quota, state.clock.now(), _bearer(request))
        answer = self._handle(request, body, fault)
        if fault is not None and KINDS[fault.kind].phase == "after":
            return misfortune.after_braze(fault, answer)
        return answer

    def _handle(self, request: Request, body: bytes | None, fault: Fault | None) -> Answer:
        """Every answer of Braze's own carries the quota, also a refusal."""
        state = self._state
        headers = state.quotas.look(state.clock.now()).headers()
        endpoint, stopped = self._gates(request)
        if endpoint is not None:
            parsed, unreadable = _parse(endpoint, request, body)
            allowance = state.quotas.draw(endpoint, parsed, state.clock.now())
            headers = allowance.headers()
            if not allowance.granted:
                stopped = refusal(429, "Rate Limited")
            else:
                stopped = unreadable or self._judge(endpoint, request, parsed, fault)
        return Answer(stopped.status, stopped.content, {**stopped.headers, **headers})

    def _gates(self, request: Request) -> tuple[EndpointSpec | None, Answer]:
        name = self._routes.get((request.method, request.url.path))
        if name is None:
            return None, refusal(404, "Not Found", f"no endpoint {request.method} {request.url.path}")
        endpoint = self._endpoints[name]
        key = self._key(request)
        if key is None:
            return None, refusal(401, "Unauthorized", "no REST API key of this workspace in the Authorization header")
        if not key.admits(request.client.host if request.client else ""):
            # 403 for want of a documented status: the key is known, only not from here.
            return None, refusal(403, "Invalid whitelisted IPs", "the key may not be used from this address")
        if not key.allows(endpoint.permission):
            # 403, not 401: the key is known; the errors page files a lacking permission under Access Denied.
            return None, refusal(403, "Access Denied", f"the key lacks the permission {endpoint.permission}")
        return endpoint, Answer(None)

    def _judge(self, endpoint: EndpointSpec, request: Request, body: Any, fault: Fault | None) -> Answer:
        query = dict(request.query_params)
        if endpoint.method == "GET":
            problems = self._validator.query_problems(endpoint, query)
        else:
            problems = self._validator.body_problems(endpoint, body)
        if problems:
            return refuse(problems)
        return HANDLERS[endpoint.id](Call(self._state, endpoint, body or {}, query, fault))

    def _key(self, request: Request) -> ApiKey | None:
        return self._state.workspace.find_key(_bearer(request))

    def _record(self, request: Request, body: bytes, fault: Fault | None, answer: Answer) -> None:
        journal = self._state.journal
        key = self._key(request)
        journal.record(
            Exchange(
                number=journal.requests + 1,
                at=self._state.clock.now(),
                method=request.method,
                path=request.url.path,
                query=request.url.query,
                status=answer.status,
                key=key.name if key else "unknown key",
                body=kept(body),
                fault=fault.kind if fault else None,
                # The echoing fault exists to test that callers mask the key: the log must not keep it either.
                answer=b"" if fault and fault.kind == "echo_key_401" else kept(answer.content),
            )
        )
        self._state.touch()


def _bearer(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


async def _read(request: Request) -> bytes | None:
    """The whole body, or None where it is too large; the rest is read away so that the caller gets an answer."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MOST_BODY_BYTES:
            chunks.append(chunk)
    return b"".join(chunks) if size <= MOST_BODY_BYTES else None


def _parse(endpoint: EndpointSpec, request: Request, body: bytes | None) -> tuple[Any, Answer | None]:
    if endpoint.method != "POST":
        return None, None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return None, refusal(415, "Unsupported Media Type", "Content-Type must be application/json")
    if body is None:
        return None, refusal(413, "Payload Too Large", "the body is above 4 MB")
    try:
        parsed = json.loads(body, parse_constant=_no_constant)
        if b"\\ud" in body.lower():
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair is no text
        return parsed, None
    except (ValueError, RecursionError) as error:
        return None, refusal(400, BAD_REQUEST, f"the body is not valid JSON, check its syntax: {error}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
