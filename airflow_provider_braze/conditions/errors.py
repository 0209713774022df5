"""What can go wrong with a wait, and how an error travels from a trigger to its task.

::

    BrazeError
    └── BrazeWaitError
        ├── BrazeWaitRefusedError    what is waited for can never come: the wait is wrong as it is written
        └── BrazeWaitFailedError     what must not happen did happen: a bound was passed, a campaign archived
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_braze.api import errors as api_errors
from airflow_provider_braze.api.errors import BrazeError


class BrazeWaitError(BrazeError):
    """A wait cannot end well."""


class BrazeWaitRefusedError(BrazeWaitError):
    """What is waited for can never come: correct the task. ``soft_fail`` does not hide it."""


class BrazeWaitFailedError(BrazeWaitError):
    """What is waited for will not come any more, or something else must not go on. ``soft_fail`` makes it a skip."""


LATER = (
    api_errors.BrazeRateLimitError,
    api_errors.BrazeServerError,
    api_errors.BrazeConnectError,
    api_errors.BrazeUnknownOutcomeError,
)
"""Errors after which a wait asks again later: they say nothing about what it waits for."""


def error_as_dict(error: BrazeError) -> dict[str, Any]:
    """Put an error into plain JSON."""
    return {"error": type(error).__name__, "args": list(error.args), "fields": dict(error.__dict__)}


def error_from_dict(data: Mapping[str, Any]) -> BrazeError:
    """Make the error again; one of a kind that is not known becomes a plain ``BrazeError``."""
    kind = {**vars(api_errors), **globals()}.get(data["error"], BrazeError)
    error: BrazeError = kind.__new__(kind, *data["args"])
    error.__dict__.update(data["fields"])
    return error
