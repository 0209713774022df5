"""The inbox page: what the people would have read, what waits, and what the workspace looks like. Server-rendered."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from importlib import resources
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from airflow_provider_braze.emulator import views
from airflow_provider_braze.emulator.faults import KINDS
from airflow_provider_braze.emulator.firing import catch_up
from airflow_provider_braze.emulator.handlers import HANDLERS
from airflow_provider_braze.emulator.journal import Message
from airflow_provider_braze.emulator.specification import load_contract
from airflow_provider_braze.emulator.state import State

MESSAGES_PER_PAGE = 50
PEOPLE_SHOWN = 12
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
ROWS: dict[str, Callable[[State], list[dict[str, Any]]]] = {
    "inbox": lambda _: [],
    "schedules": views.schedule_rows,
    "live": views.live_rows,
    "sends": views.send_rows,
}
_ASSETS = {"inbox.css": "text/css", "inbox.js": "text/javascript"}


def inbox_routes(state: State) -> list[Route]:
    """The page, its two assets, and the number by which it notices changes."""

    async def inbox(request: Request) -> Response:
        search = request.query_params.get("q", "").strip()
        number = _page_number(request.query_params.get("page", ""))
        wanted = request.query_params.get("view", "")
        content = _view(state, search, number, wanted if wanted in ROWS else "inbox")
        page = _template().render(content, base=str(request.base_url).rstrip("/"))
        return HTMLResponse(page, headers=HEADERS)

    async def version(_: Request) -> Response:
        with state.lock:
            catch_up(state)
        return JSONResponse({"version": state.version}, headers=HEADERS)

    assets = [Route(f"/__emulator__/{name}", _asset(name, kind)) for name, kind in _ASSETS.items()]
    return [Route("/", inbox), Route("/__emulator__/version", version), *assets]


def _asset(name: str, kind: str) -> Callable[[Request], Any]:
    async def asset(_: Request) -> Response:
        return Response(_read(name), media_type=kind, headers=HEADERS)

    return asset


@functools.cache
def _read(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    loader = jinja2.FunctionLoader(_read)
    environment = jinja2.Environment(
        autoescape=True, loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["pretty"] = lambda value: json.dumps(value, ensure_ascii=False, indent=2)
    environment.filters["clock"] = lambda moment: moment[11:19]
    environment.filters["day"] = lambda moment: moment[:16].replace("T", " ")
    return environment.get_template("inbox.html")


def _page_number(text: str) -> int:
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def _view(state: State, search: str, page: int, view: str) -> dict[str, Any]:
    with state.lock:
        catch_up(state)
        journal = state.journal
        found = _found(journal.messages, search)
        start = (page - 1) * MESSAGES_PER_PAGE
        messages = [
            {**message.as_dict(), "count": journal.times(message.source.key, message.identity)}
            for message in found[start : start + MESSAGES_PER_PAGE]
        ]
        return {
            "version": state.version,
            "workspace": state.workspace,
            "summary": journal.summary(),
            "accepted": journal.accepted_recipients,
            "statuses": sorted(journal.statuses.items()),
            "repeated": _repeated(state),
            "repeats": journal.repeats,
            "people": _people(_named_like(journal.per_recipient, search), journal.per_recipient),
            "view": view,
            "tabs": views.tabs(state, view),
            "rows": ROWS[view](state),
            "campaigns": views.programs(state, state.workspace.campaigns.values()),
            "canvases": views.programs(state, state.workspace.canvases.values()),
            "segments": views.segments(state),
            "programs_shown": views.PROGRAMS_SHOWN,
            "messages": messages,
            "found": len(found),
            "search": search,
            "page": page,
            "newer": _link(search, page - 1) if page > 1 else None,
            "older": _link(search, page + 1) if len(found) > start + MESSAGES_PER_PAGE else None,
            "pools": views.pools(state),
            "now": f"{state.clock.datetime():%A %d %B %Y, %H:%M:%S}",
            "faults": [fault.as_dict() for fault in state.faults],
            "kinds": KINDS,
            "paths": [load_contract().endpoints[name].path for name in HANDLERS],
        }


def _found(messages: Any, search: str) -> list[Message]:
    latest = list(messages)[::-1]
    if not search:
        return latest
    wanted = search.casefold()
    return [message for message in latest if wanted in _names(message)]


def _names(message: Message) -> str:
    facts = message.attributes
    parts = (message.identity, message.email, facts.get("first_name"), facts.get("last_name"))
    return " ".join(str(part) for part in parts if part).casefold()


def _named_like(identities: Any, search: str) -> Any:
    wanted = search.casefold()
    return (identity for identity in identities if wanted in identity.casefold()) if search else ()


def _people(identities: Any, counts: Any) -> list[tuple[str, int]]:
    return [(identity, counts[identity]) for identity in islice(identities, PEOPLE_SHOWN)]


def _repeated(state: State) -> list[tuple[str, str, int]]:
    journal = state.journal
    return [
        (identity, journal.sources[key].name, journal.times(key, identity))
        for identity, key in islice(journal.repeated, PEOPLE_SHOWN)
    ]


def _link(search: str, page: int) -> str:
    query = {**({"q": search} if search else {}), **({"page": page} if page > 1 else {})}
    return "/?" + urlencode(query) if query else "/"
