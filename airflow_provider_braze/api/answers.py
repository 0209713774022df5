"""Read an answer of Braze's: success, or the error that says whether anybody may have been messaged.

Envelopes vary: ``message`` in general, ``error`` on some endpoints, ``errors`` as texts or objects, an HTML page
where a proxy speaks for Braze. See https://www.braze.com/docs/api/errors/.
"""

from __future__ import annotations

import json
import re
from typing import Any

from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeForbiddenError,
    BrazeNotFoundError,
    BrazeNotSentError,
    BrazePausedError,
    BrazeRateLimitError,
    BrazeResponseError,
    BrazeServerError,
    BrazeUnauthorizedError,
    BrazeUnknownOutcomeError,
    mask,
)
from airflow_provider_braze.api.models.responses import Begun
from airflow_provider_braze.api.quota import QUOTAS, retry_after
from airflow_provider_braze.api.wire import Answer

_ERRORS: dict[int, type[BrazeResponseError]] = {
    401: BrazeUnauthorizedError,
    403: BrazeForbiddenError,
    404: BrazeNotFoundError,
    429: BrazeRateLimitError,
    500: BrazeServerError,
    502: BrazeServerError,
    503: BrazeServerError,
}
_AGREED = {"success", "queued"}
_PAUSED = re.compile(r"paused|archived|stopped|not active|inactive|draft", re.IGNORECASE)


def read_answer(endpoint: Endpoint, answer: Answer, *secrets: str) -> dict[str, Any]:
    """Give the body of a success as it came, or raise.

    :param endpoint: the row that was called.
    :param answer: what came back.
    :param secrets: values that no error may quote.
    :raises BrazeResponseError: Braze said no, or took the call and says that nothing goes out.
    :raises BrazeUnknownOutcomeError: the answer does not tell what Braze did.
    """
    body = _json_object(answer.content)
    if 200 <= answer.status < 300:
        return _agreed(endpoint, answer, body, *secrets)
    message = mask(_words(answer, body), *secrets)
    if answer.status >= 500 and answer.status not in _ERRORS:
        raise BrazeUnknownOutcomeError(
            f"{endpoint.name}: the answer was {answer.status} ({message}), something on the way gave up waiting"
        )
    error = _ERRORS.get(answer.status, BrazeBadRequestError)
    if error is BrazeRateLimitError:
        message += f" (quota: {QUOTAS[endpoint.quota]})"
    wait = retry_after(answer.headers)
    raise error(endpoint.name, answer.status, message, retry_after=wait, readable=body is not None)


def _agreed(endpoint: Endpoint, answer: Answer, body: dict[str, Any] | None, *secrets: str) -> dict[str, Any]:
    if body is None and not answer.content and not _documents_body(endpoint):
        return {}
    if body is None:
        raise BrazeUnknownOutcomeError(
            f"{endpoint.name}: the answer was {answer.status}, but {mask(_words(answer, body), *secrets)} (is the "
            "connection's host Braze's REST endpoint?)"
        )
    message, refused = body.get("message"), None
    if isinstance(message, str):
        refused = None if message.casefold().strip(" .!") in _AGREED else _words(answer, body)
    elif message is None:
        refused = body.get("error")
    notice = _text(body["notice"]) if body.get("notice") else ""
    if notice and _PAUSED.search(notice) and not refused:
        paused = BrazePausedError(endpoint.name, answer.status, mask(notice, *secrets))
        paused.body = body
        raise paused
    if said := refused or notice:
        text = mask(_text(said), *secrets)
        if endpoint.repeatable:
            raise BrazeNotSentError(endpoint.name, answer.status, text)
        # A 2xx that is not understood may have messaged people all the same.
        raise BrazeUnknownOutcomeError(f"{endpoint.name}: the answer was {answer.status} and said: {text}")
    told = isinstance(message, str) or endpoint.method == "GET" or _has_dispatch(message, body)
    if not told and _documents_body(endpoint):
        raise BrazeUnknownOutcomeError(f"{endpoint.name}: the answer was {answer.status}, but it does not say success")
    return body


def _documents_body(endpoint: Endpoint) -> bool:
    """Tell whether a success has a body by Braze's page; some pages tell a status code only."""
    return endpoint.response is not Begun


def _has_dispatch(message: Any, body: dict[str, Any]) -> bool:
    return message is None and isinstance(body.get("dispatch_id"), str) and bool(body["dispatch_id"])


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        # Of bytes it would guess the encoding, and let halves of surrogate pairs through.
        body = json.loads(content.decode("utf-8-sig", errors="replace"))
        body = _clean(body) if b"\\u" in content else body
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _clean(value: Any) -> Any:
    """Take out what no log and no XCom can hold: halves of surrogate pairs, and the character 0."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode().replace("\0", "?")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


def _words(answer: Answer, body: dict[str, Any] | None) -> str:
    if body is None:
        # More than is shown, so that a key at its end is masked before it is cut.
        start = answer.content[:5000].decode(errors="replace").strip()
        if not start:
            return "the body is empty"
        return "it is an HTML page and not JSON" if start.startswith("<") else f"the body is no JSON object: {start}"
    said = [body.get("message") or body.get("error") or "no message"]
    errors = body.get("errors")
    said += errors if isinstance(errors, list) else [errors] if errors else []
    return "; ".join(map(_text, said))


def _text(item: Any) -> str:
    try:
        return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    except RecursionError:
        return "something nested too deeply to be read"
