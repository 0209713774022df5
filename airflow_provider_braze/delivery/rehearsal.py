"""A dry run: everything but the sending."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from airflow_provider_braze.api.client import AsyncBrazeClient, run_blocking
from airflow_provider_braze.api.errors import (
    BrazeBadRequestError,
    BrazeConfigurationError,
    BrazeError,
    BrazeForbiddenError,
    BrazeGuardError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeUnauthorizedError,
    BrazeUnknownOutcomeError,
)
from airflow_provider_braze.delivery.errors import BrazeNobodyMessagedError

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.plan import Plan

_FLAG = TypeAdapter(bool).validate_python
# Without any content, campaign or recipients there is nothing that Braze could send.
_NOTHING = b"{}"
# These say nothing of the real run, which asks something else, at another time.
_NO_WORD = (
    BrazeUnauthorizedError,
    BrazeForbiddenError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeUnknownOutcomeError,
)
Found = tuple[list[str], list[str]]
log = logging.getLogger(__name__)


def is_true(value: bool | str) -> bool:
    """Read a flag that may be a rendered template, such as ``"True"``.

    :raises BrazeConfigurationError: it is no flag, so that it is not clear whether anything is to be sent.
    """
    try:
        return _FLAG(value.strip() if isinstance(value, str) else value)
    except ValidationError:
        raise BrazeConfigurationError(f"dry_run must be true or false, it is {value!r}: nothing was sent.") from None


def rehearse(client: AsyncBrazeClient, plan: Plan, *, allow_paused: bool, known: int = 0) -> dict[str, Any]:
    """Check what Braze can be asked about without sending, and report what would be sent.

    :param known: how many of the plan's recipients the ledger knows, one for a single request without a list.
    :raises BrazeNobodyMessagedError: the real run would fail.
    """
    report = plan.report
    report.skipped = report.recipients - report.duplicates - report.invalid
    problems, notices = [], []
    for found_problems, found_notices in run_blocking(_look(client, plan, allow_paused)):
        problems += found_problems
        notices += found_notices
    report.notices += [f"Dry run, nothing was sent: {_wish(plan)} would go out{_but(plan, known)}.", *notices]
    for notice in report.notices:
        log.info(notice)
    if problems:
        report.errors += problems
        raise BrazeNobodyMessagedError(
            "Dry run, nothing was sent. The real run would fail: " + " ".join(problems), report.as_dict()
        )
    return {**report.as_dict(), "dry_run": True}


def _wish(plan: Plan) -> str:
    if plan.payload.get("recipient"):
        return "one request to one recipient"
    # A broadcast is one request without recipients, an empty audience is none.
    whom = "a target audience" if len(plan) and not plan.report.recipients else f"{plan.report.skipped:,} recipients"
    return f"{len(plan):,} requests to {whom}"


def _but(plan: Plan, known: int) -> str:
    if not known:
        return ""
    whom = f"{known:,} recipients" if plan.report.recipients else "this"
    return (
        f", but the ledger knows {whom} from before: what Braze took on is not sent again, and for what is in doubt "
        "on_unknown decides"
    )


async def _look(client: AsyncBrazeClient, plan: Plan, allow_paused: bool) -> list[Found]:
    async with client:
        return [await _program(client, plan, allow_paused), await _permission(client, plan)]


async def _program(client: AsyncBrazeClient, plan: Plan, allow_paused: bool) -> Found:
    """Look whether the campaign or Canvas exists and is active."""
    for field, endpoint, noun in (
        ("campaign_id", "campaigns_details", "campaign"),
        ("canvas_id", "canvas_details", "Canvas"),
    ):
        program = plan.payload.get(field)
        if not program:
            continue
        try:
            details = await client.call(endpoint, {field: program})
        except _NO_WORD as error:
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


async def _permission(client: AsyncBrazeClient, plan: Plan) -> Found:
    """Post an empty body: Braze refuses it as such, or for lack of the permission."""
    permission = plan.endpoint.permission
    try:
        client.read(plan.endpoint, await client.exchange(client.wrap(plan.endpoint, _NOTHING)))
    except (BrazeUnauthorizedError, BrazeForbiddenError) as error:
        return [f"The key may not send (it needs the permission {permission}): {error}"], []
    except BrazeGuardError:
        return [], ["Whether the key may send is not asked over a connection with test_recipients."]
    except BrazeBadRequestError:
        return [], [f"The key has the permission {permission}."]
    except BrazeError as error:
        return [], [f"Whether the key has the permission {permission} could not be checked: {error}"]
    return [], []
