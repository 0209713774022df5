"""The answers that faults give: in Braze's stead, or in place of the answer Braze meant to give."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from airflow_provider_braze.emulator.calls import Answer, json_answer
from airflow_provider_braze.emulator.faults import Fault
from airflow_provider_braze.emulator.quota import Allowance

DROPPED = Answer(None)
_PROXY_PAGE = (
    "<html><head><title>{status}</title></head><body><center><h1>{status} {text}</h1></center>"
    "<hr><center>edge</center></body></html>"
)
_SERVER_ERRORS = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


def instead_of_braze(fault: Fault, quota: Allowance, now: float, key: str) -> Answer:
    """The answer to a request that never gets to Braze's own handling."""
    status = fault.options.get("status", 500)
    match fault.kind:
        case "rate_limited":
            return _rate_limited(fault, quota, now)
        case "html_error_page":
            page = _PROXY_PAGE.format(status=status, text=_SERVER_ERRORS.get(status, "OK"))
            return Answer(status, page.encode(), {"content-type": "text/html; charset=utf-8"})
        case "echo_key_401":
            return json_answer(401, {"message": f"Invalid API key: {key}"}, quota.headers())
        case "server_error":
            return json_answer(status, {"message": _SERVER_ERRORS[status]}, quota.headers())
        case _:
            return DROPPED


def during_braze(fault: Fault, answer: Answer) -> Answer:
    """Puts the fault's errors or notice into a success whose handler knows neither."""
    if fault.kind not in ("errors_in_201", "notice_in_201") or answer.status is None or answer.status >= 300:
        return answer
    body = json.loads(answer.content)
    name = "errors" if fault.kind == "errors_in_201" else "notice"
    if name in body or "notice" in body:
        return answer
    text = str(fault.options["text"])
    return json_answer(answer.status, {**body, name: [text] if name == "errors" else text}, free=answer.free)


def after_braze(fault: Fault, answer: Answer) -> Answer:
    """What becomes of Braze's answer; a refusal is passed on as it is, only a success is tampered with."""
    if fault.kind == "drop_after_acceptance":
        return DROPPED
    if answer.status is None or answer.status >= 300:
        return answer
    match fault.kind:
        case "queued_202":
            return json_answer(202, {"message": "queued"}, _quota_of(answer))
        case "garbage_201":
            return Answer(201, b"\x00\xff{not json", answer.headers)
        case "empty_201":
            return Answer(201, b"", _quota_of(answer))
        case _:
            return answer


def _quota_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit")}


def _rate_limited(fault: Fault, quota: Allowance, now: float) -> Answer:
    wait = float(fault.options["retry_after"])
    headers = _HEADER_STYLES[fault.options["header_style"]](quota, wait, now)
    return json_answer(429, {"message": "Rate Limited"}, headers)


def _three(limit: str, remaining: str, reset: str) -> dict[str, str]:
    return {"x-ratelimit-limit": limit, "x-ratelimit-remaining": remaining, "x-ratelimit-reset": reset}


_HEADER_STYLES: dict[str, Callable[[Allowance, float, float], dict[str, str]]] = {
    "epoch": lambda quota, wait, now: _three(str(quota.limit), "0", str(math.ceil(now + wait))),
    "seconds": lambda quota, wait, _: _three(str(quota.limit), "0", str(math.ceil(wait))),
    "absent": lambda _quota, _wait, _now: {},
    "empty": lambda _quota, _wait, _now: _three("", "", ""),
    "retry_after": lambda _quota, wait, _: {"x-ratelimit-retry-after": str(math.ceil(wait))},
    "standard_retry_after": lambda _quota, wait, _: {"retry-after": str(math.ceil(wait))},
}
