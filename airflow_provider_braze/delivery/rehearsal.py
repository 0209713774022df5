"""A dry run: everything but the sending."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_braze.api.client import run_blocking
from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeConfigurationError,
    BrazeError,
    BrazeForbiddenError,
    BrazeRateLimitError,
    BrazeUnauthorizedError,
)
from airflow_provider_braze.delivery.errors import BrazeNobodyMessagedError

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.hooks.braze import BrazeHook

_FLAG = TypeAdapter(bool).validate_python
# Without any content, campaign or recipients there is nothing that Braze could send.
_NOTHING = b"{}"
log = logging.getLogger(__name__)


def is_true(value: bool | str) -> bool:
    """Read a flag that may be a rendered template, such as ``"True"``.

    :raises BrazeConfigurationError: it is no flag, so that it is not clear whether anything is to be sent.
    """
    try:
        return _FLAG(value.strip() if isinstance(value, str) else value)
    except ValidationError:
        raise BrazeConfigurationError(f"dry_run must be true or false, it is {value!r}: nothing was sent.") from None


def rehearse(hook: BrazeHook, plan: Plan, *, allow_paused: bool) -> dict[str, Any]:
    """Check what Braze can be asked about without sending, and report what would be sent.

    :raises BrazeNobodyMessagedError: the real run would fail.
    """
    report = plan.report
    report.skipped = report.recipients - report.duplicates - report.invalid
    problems, notices = [], []
    for found in (_program(hook, plan, allow_paused), _permission(hook, plan)):
        problems += found[0]
        notices += found[1]
    whom = f"{report.skipped:,} recipients" if report.recipients else "a target audience"
    report.notices += [f"Dry run, nothing was sent: {len(plan):,} requests to {whom} would go out.", *notices]
    for notice in report.notices:
        log.info(notice)
    if problems:
        report.errors += problems
        raise BrazeNobodyMessagedError(
            "Dry run, nothing was sent. The real run would fail: " + " ".join(problems), report.as_dict()
        )
    return {**report.as_dict(), "dry_run": True}


def _program(hook: BrazeHook, plan: Plan, allow_paused: bool) -> tuple[list[str], list[str]]:
    """Look whether the campaign or Canvas exists and is active."""
    for field, endpoint, noun in (
        ("campaign_id", "campaigns_details", "campaign"),
        ("canvas_id", "canvas_details", "Canvas"),
    ):
        program = plan.payload.get(field)
        if not program:
            continue
        try:
            details = hook.call(endpoint, {field: program})
        except (BrazeUnauthorizedError, BrazeForbiddenError) as error:
            return [], [f"Whether the {noun} is active could not be checked: {error}"]
        except BrazeError as error:
            return [f"The {noun} {program} cannot be read: {error}"], []
        states = [word for word in ("archived", "draft") if details.get(word)]
        states += ["paused"] if details.get("enabled") is False else []
        if states:
            text = f"The {noun} {details.get('name', program)!r} is {' and '.join(states)}."
            return ([], [text]) if allow_paused else ([text], [])
        return [], [f"The {noun} {details.get('name', program)!r} is active."]
    return [], []


def _permission(hook: BrazeHook, plan: Plan) -> tuple[list[str], list[str]]:
    """Post an empty body: Braze refuses it as such, or for lack of the permission."""

    async def post() -> None:
        async with hook.get_async_conn() as client:
            client.read(plan.endpoint, await client.exchange(client.wrap(plan.endpoint, _NOTHING)))

    try:
        run_blocking(post())
    except (BrazeUnauthorizedError, BrazeForbiddenError) as error:
        return [f"The key may not send (it needs the permission {plan.endpoint.permission}): {error}"], []
    except (BrazeBadRequestError, BrazeRateLimitError):
        return [], [f"The key has the permission {plan.endpoint.permission}."]
    except BrazeError as error:
        return [], [f"Whether the key has the permission {plan.endpoint.permission} could not be checked: {error}"]
    return [], []
