"""Everything that can go wrong with a call to Braze.

The question that each class answers first is whether anybody may have been messaged::

    BrazeError
    ├── BrazeValidationError          refused here, before any request
    ├── BrazeConfigurationError       the connection cannot be used as it is; nothing was sent
    │   └── BrazeWorkspaceError         it is of another workspace than the task is for; nothing was sent
    ├── BrazeGuardError               the connection may message its test recipients only; nothing was sent
    ├── BrazeConnectError             no connection came about; nothing was sent
    ├── BrazeUnknownOutcomeError      the request went out, no readable answer came back
    └── BrazeResponseError            Braze answered, and said no
        ├── BrazeBadRequestError        400, 413, 415 and other 4xx: the request itself
        ├── BrazeUnauthorizedError      401: the key, or the host it is used on
        ├── BrazeForbiddenError         403: the key's permissions, or the account
        ├── BrazeNotFoundError          404: the URL
        ├── BrazeRateLimitError         429: the quota; carries retry_after in seconds
        ├── BrazeServerError            500, 502, 503: nothing was sent, says Braze's errors page
        └── BrazeNotSentError           2xx, but the message says that nothing goes out
            └── BrazePausedError          2xx with a notice: the campaign or Canvas is paused or archived

No message holds the REST API key. Texts that come from Braze have passed :func:`mask`.
See https://www.braze.com/docs/api/errors/.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, quote_plus

_EMAIL = re.compile(r"[^\s\"'<>@,;:(){}\[\]]+@[^\s\"'<>@,;:(){}\[\]]+\.\w+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_QUOTE = 500
_PROGRAM_ID = re.compile(r"\b(campaign|canvas)[ _]id\b", re.IGNORECASE)
_ELSEWHERE = "Check the connection's host: it must be a REST endpoint such as rest.iad-01.braze.com, with no path."
_ID = (
    "Check the id: it must be the API identifier of a campaign or Canvas that the API triggers, in the workspace that "
    "the key belongs to."
)


class BrazeError(Exception):
    """Base of every error that this package raises about Braze."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[BrazeError], args: tuple[Any, ...], state: dict[str, Any]) -> BrazeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class BrazeValidationError(BrazeError):
    """The payload breaks one of Braze's documented rules. Nothing was sent.

    :param endpoint: name of the endpoint, a key of ``ENDPOINTS``.
    :param problems: one line each, beginning with the field: ``recipients[3].email: ...``.
    """

    def __init__(self, endpoint: str, problems: list[str]) -> None:
        self.endpoint = endpoint
        self.problems = problems
        listed = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(f"{endpoint}: the request breaks Braze's rules, nothing was sent:{listed}")


class BrazeConfigurationError(BrazeError):
    """The connection cannot be used as it is. Nothing was sent."""


class BrazeWorkspaceError(BrazeConfigurationError):
    """The connection, or its key, is of another workspace than the task is for. Nothing was sent."""


class BrazeGuardError(BrazeError):
    """The connection may message its test recipients only, and the call is to others. Nothing was sent."""


class BrazeConnectError(BrazeError):
    """No connection to Braze came about, so nothing was sent and the call may be repeated."""


class BrazeUnknownOutcomeError(BrazeError):
    """The request went out and no readable answer came back: Braze may or may not have acted on it.

    :param reason: what happened, without the conclusion.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: Braze may have acted on the request or not")


class BrazeResponseError(BrazeError):
    """Braze answered, and the answer is no success.

    :param endpoint: name of the endpoint, a key of ``ENDPOINTS``.
    :param status: HTTP status code.
    :param message: what Braze said, the key and addresses masked.
    :param retry_after: seconds to wait before another try, where Braze said so.
    :param readable: whether the body was a JSON object, as Braze's are; otherwise something else may have answered.
    """

    advice = ""

    def __init__(
        self, endpoint: str, status: int, message: str, *, retry_after: float | None = None, readable: bool = True
    ) -> None:
        self.endpoint = endpoint
        self.status = status
        self.message = message
        self.retry_after = retry_after
        self.readable = readable
        sentence = message if message.endswith((".", "!", "?")) else f"{message}."
        super().__init__(f"{endpoint}: Braze answered {status}: {sentence} {self._what_to_do()}".rstrip())

    def _what_to_do(self) -> str:
        if self.advice:
            return self.advice
        # Braze redirects nobody, and knows the methods of its endpoints.
        if self.status < 500 and (not self.readable or self.status < 400 or self.status == 405):
            return _ELSEWHERE
        return _ID if _PROGRAM_ID.search(self.message) else ""


class BrazeBadRequestError(BrazeResponseError):
    """Braze refused the request itself (4xx). Nothing was sent; a repeat would be refused again."""


class BrazeUnauthorizedError(BrazeResponseError):
    """401: the key is missing, mistyped, revoked, of another instance, or lacks the permission."""

    advice = (
        "Check the connection's password (the REST API key) and that its host is the REST endpoint of the "
        "same Braze instance; a key is valid on one instance only."
    )


class BrazeForbiddenError(BrazeResponseError):
    """403: the key lacks the endpoint's permission, or the account is not active."""

    advice = (
        "Permissions and allowed addresses of a Braze key cannot be changed after its creation: make a new "
        "key with the permission and put it into the connection."
    )


class BrazeNotFoundError(BrazeResponseError):
    """404: the URL does not exist there."""

    advice = _ELSEWHERE


class BrazeRateLimitError(BrazeResponseError):
    """429: the quota is used up. Nothing was sent."""


class BrazeServerError(BrazeResponseError):
    """500, 502 or 503: Braze's errors page says that nothing was sent and asks for a repeat with backoff."""


class BrazeNotSentError(BrazeResponseError):
    """Braze took the request with a 2xx but says that nothing goes out."""


class BrazePausedError(BrazeNotSentError):
    """The campaign or Canvas is paused, stopped or archived: the request was taken, nothing goes out.

    ``body`` is the answer as it came: a schedule may have been made all the same.
    """

    body: Mapping[str, Any] = MappingProxyType({})

    advice = "Resume it in Braze's dashboard; operators that may find it paused take allow_paused=True."


def identity_hash(identity: str) -> str:
    """Give the short name under which a recipient appears in logs and reports.

    :param identity: the recipient's identifier as text, for example ``"10042"``.
    :return: the first 12 hexadecimal digits of its SHA-256.
    """
    return hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:12]


def mask(text: str, *secrets: str) -> str:
    """Take keys and e-mail addresses out of a text that comes from outside.

    :param text: what Braze or a proxy said.
    :param secrets: values to blot out wherever they occur.
    :return: the text, at most 500 characters, on one line.
    """
    for secret in filter(None, secrets):
        for written in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret)):
            text = re.sub(re.escape(written), "***", text, flags=re.IGNORECASE)
    text = _EMAIL.sub(lambda found: f"<email {identity_hash(found[0].casefold())}>", text)
    # Databases refuse the character 0, and terminals obey some others.
    text = " ".join(_CONTROL.sub(" ", text).split())
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + " ..."
