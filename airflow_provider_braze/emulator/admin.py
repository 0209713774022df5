"""The emulator's own HTTP interface under ``/__emulator__/``; loopback only by default, so without a key."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_braze.emulator.faults import KINDS
from airflow_provider_braze.emulator.figures import add_figures
from airflow_provider_braze.emulator.firing import catch_up
from airflow_provider_braze.emulator.guide import DEFAULT_LIMIT, PREFIX, routes
from airflow_provider_braze.emulator.journal import iso
from airflow_provider_braze.emulator.overview import program_row, program_rows, send_id_rows
from airflow_provider_braze.emulator.state import State

Answering = Callable[[Request], Awaitable[Response]]


def admin_routes(state: State) -> list[Route]:
    """The routes, each bound to this state."""
    table: list[tuple[str, str, Callable[..., Awaitable[Any]]]] = [
        ("GET", "", _index),
        ("GET", "/", _index),
        ("GET", "/requests", _requests),
        ("GET", "/messages", _messages),
        ("GET", "/deliveries", _deliveries),
        ("GET", "/schedules", _schedules),
        ("GET", "/live_activities", _live_activities),
        ("GET", "/send_ids", _send_ids),
        ("GET", "/programs", _programs),
        ("POST", "/programs", _change_program),
        ("POST", "/figures", _add_figures),
        ("GET", "/faults", _faults),
        ("POST", "/faults", _add_fault),
        ("DELETE", "/faults", _clear_faults),
        ("DELETE", "/faults/{id:int}", _remove_fault),
        ("POST", "/reset", _reset),
        ("GET", "/clock", _clock),
        ("POST", "/clock", _advance),
    ]
    return [Route(PREFIX + path, _bound(handler, state), methods=[verb]) for verb, path, handler in table]


def _bound(handler: Callable[..., Awaitable[Any]], state: State) -> Answering:
    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        if _is_foreign(request):
            return JSONResponse({"error": "asked for by another site"}, 403)
        try:
            with state.lock:
                catch_up(state)
            result = await handler(state, request)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return result if isinstance(result, Response) else JSONResponse(result)

    return answer


def _is_foreign(request: Request) -> bool:
    """A web page elsewhere must not be able to reach into a developer's emulator."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _index(state: State, _: Request) -> Any:
    return {
        "emulator": "Braze REST API, local",
        "workspace": state.workspace.name,
        "inbox": "/",
        "see": routes(),
    }


def _limit(request: Request) -> int:
    return max(0, int(request.query_params.get("limit", DEFAULT_LIMIT)))


def _is_summary(request: Request) -> bool:
    return request.query_params.get("summary") in ("1", "true")


async def _requests(state: State, request: Request) -> Any:
    with state.lock:
        if _is_summary(request):
            return dict(state.journal.per_endpoint)
        latest = list(state.journal.exchanges)[::-1][: _limit(request)]
    return {"requests": [exchange.as_dict() for exchange in latest]}


async def _messages(state: State, request: Request) -> Any:
    with state.lock:
        latest = list(state.journal.messages)[::-1][: _limit(request)]
    return {"messages": [message.as_dict() for message in latest]}


async def _deliveries(state: State, request: Request) -> Any:
    with state.lock:
        summary: dict[str, Any] = dict(state.journal.summary())
        if not _is_summary(request):
            summary["per_recipient"] = dict(state.journal.per_recipient)
    return summary


async def _schedules(state: State, request: Request) -> Any:
    with state.lock:
        latest = list(state.schedules)[::-1][: _limit(request)]
        return {"schedules": [scheduled.as_dict() for scheduled in latest]}


async def _live_activities(state: State, request: Request) -> Any:
    with state.lock:
        now = state.clock.now()
        latest = list(state.live_activities)[::-1][: _limit(request)]
        return {"live_activities": [activity.as_dict(now) for activity in latest]}


async def _send_ids(state: State, request: Request) -> Any:
    with state.lock:
        return {"send_ids": send_id_rows(state)[::-1][: _limit(request)]}


async def _programs(state: State, _: Request) -> Any:
    with state.lock:
        return {"programs": program_rows(state)}


async def _change_program(state: State, request: Request) -> Any:
    wanted = await _json_object(request)
    with state.lock:
        program = state.workspace.change_program(**wanted)
        state.touch()
        return program_row(state, program)


async def _add_figures(state: State, request: Request) -> Any:
    wanted = await _json_object(request)
    with state.lock:
        return JSONResponse(add_figures(state, **wanted), 201)


async def _faults(state: State, _: Request) -> Any:
    kinds = {
        name: {
            "summary": kind.summary,
            "options": {key: option.default for key, option in kind.options.items()},
        }
        for name, kind in KINDS.items()
    }
    with state.lock:
        return {"faults": [fault.as_dict() for fault in state.faults], "kinds": kinds}


async def _add_fault(state: State, request: Request) -> Any:
    wanted = await _json_object(request)
    with state.lock:
        fault = state.faults.add(wanted.pop("kind", ""), **wanted)
        state.touch()
        return JSONResponse(fault.as_dict(), 201)


async def _clear_faults(state: State, _: Request) -> Any:
    with state.lock:
        state.faults.clear()
        state.touch()
    return {"faults": []}


async def _remove_fault(state: State, request: Request) -> Any:
    with state.lock:
        removed = state.faults.remove(request.path_params["id"])
        state.touch()
    return JSONResponse({"removed": removed}, 200 if removed else 404)


async def _reset(state: State, _: Request) -> Any:
    state.reset()
    return {"reset": True}


async def _clock(state: State, _: Request) -> Any:
    return {"now": iso(state.clock.now()), "epoch": state.clock.now()}


async def _advance(state: State, request: Request) -> Any:
    wanted = await _json_object(request)
    with state.lock:
        state.clock.advance(float(wanted.get("advance", 0)))
        catch_up(state)
        state.touch()
    return await _clock(state, request)


async def _json_object(request: Request) -> dict[str, Any]:
    body = await request.json()
    if not isinstance(body, dict):
        raise TypeError("expected a JSON object")
    return body
