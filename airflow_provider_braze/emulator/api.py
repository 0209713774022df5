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
from airflow_provider_braze.emulator.calls import Answer, Call, json_answer, refusal, refuse
from airflow_provider_braze.emulator.connections import drop_connection
from airflow_provider_braze.emulator.faults import KINDS, Fault
from airflow_provider_braze.emulator.firing import catch_up
from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.journal import Exchange, kept
from airflow_provider_braze.emulator.problems import BAD_REQUEST, Refused
from airflow_provider_braze.emulator.routing import Route, Routes
from airflow_provider_braze.emulator.specification import EndpointSpec, load_contract
from airflow_provider_braze.emulator.state import State
from airflow_provider_braze.emulator.validation import Validator
from airflow_provider_braze.emulator.workspace import ApiKey

# 4 MB, by the smaller of the two possible megabytes.
MOST_BODY_BYTES = 4_000_000
# How requests to any other address are counted.
NO_ENDPOINT = "no endpoint"
# Where a body that is no JSON is answered with "error" instead of "message".
OTHER_ENVELOPE = ("live_activity_start", "live_activity_update")


class BrazeApi:
    """Answers as Braze would, and writes down every request."""

    def __init__(self, state: State) -> None:
        contract = load_contract()
        self._state = state
        self._validator = Validator(contract, HANDLERS)
        self._routes = Routes(contract.endpoints[name] for name in HANDLERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        body = await _read(request)
        state = self._state
        with state.lock:
            catch_up(state)
            fault = state.faults.take(request.url.path, self._routes.known_path(request.url.path))
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
        quotas, now = self._state.quotas, self._state.clock.now()
        headers = quotas.look(now).headers()
        route, stopped = self._gates(request)
        if route is not None:
            endpoint = route.endpoint
            parsed, unreadable = _parse(endpoint, request, body)
            allowance = quotas.draw(endpoint, parsed, now)
            if not allowance.granted:
                stopped = refusal(429, "Rate Limited")
            else:
                stopped = unreadable or self._judge(route, request, parsed, fault)
                if stopped.free or (stopped.status or 0) >= 400:
                    allowance = quotas.give_back(endpoint, parsed, now, allowance)
            headers = allowance.headers()
        return Answer(stopped.status, stopped.content, {**stopped.headers, **headers})

    def _gates(self, request: Request) -> tuple[Route | None, Answer]:
        route = self._routes.find(request.method, request.url.path)
        if route is None:
            return None, refusal(404, "Not Found", f"no endpoint {request.method} {request.url.path}")
        permission = route.endpoint.permission
        key = self._key(request)
        if key is None:
            return None, refusal(401, "Unauthorized", "no REST API key of this workspace in the Authorization header")
        if not key.admits(request.client.host if request.client else ""):
            # 403 for want of a documented status: the key is known, only not from here.
            return None, refusal(403, "Invalid whitelisted IPs", "the key may not be used from this address")
        if not key.allows(permission):
            # 403, not 401: the key is known; the errors page files a lacking permission under Access Denied.
            return None, refusal(403, "Access Denied", f"the key lacks the permission {permission}")
        return route, Answer(None)

    def _judge(self, route: Route, request: Request, body: Any, fault: Fault | None) -> Answer:
        endpoint = route.endpoint
        query = dict(request.query_params)
        if endpoint.method == "GET":
            problems = self._validator.query_problems(endpoint, query)
        else:
            problems = self._validator.body_problems(endpoint, body)
        if problems:
            return refuse(problems)
        # What the endpoint does not know, it does not read.
        given = {field.name: body[field.name] for field in endpoint.body if (body or {}).get(field.name) is not None}
        try:
            answer = HANDLERS[endpoint.id](Call(self._state, endpoint, given, query, route.path_params, fault))
        except Refused as refused:
            return refuse(refused.problems)
        return misfortune.during_braze(fault, answer) if fault is not None else answer

    def _key(self, request: Request) -> ApiKey | None:
        return self._state.workspace.find_key(_bearer(request))

    def _record(self, request: Request, body: bytes, fault: Fault | None, answer: Answer) -> None:
        journal = self._state.journal
        key = self._key(request)
        route = self._routes.find(request.method, request.url.path)
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
            ),
            f"{route.endpoint.method} {route.endpoint.path}" if route is not None else NO_ENDPOINT,
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
        detail = f"the body is not valid JSON, check its syntax: {error}"
        if endpoint.id in OTHER_ENVELOPE:
            return None, json_answer(400, {"error": detail})
        return None, refusal(400, BAD_REQUEST, detail)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
