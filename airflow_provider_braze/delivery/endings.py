"""How a delivery ended, in words: what is in doubt, how to go on, and that nothing was left to send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_braze.delivery.policy import TRACED, Policy
from airflow_provider_braze.delivery.traces import TRACES

if TYPE_CHECKING:
    from airflow_provider_braze.api.endpoints import Endpoint
    from airflow_provider_braze.delivery.plan import Plan

_SINGLE = {"transactional_send": "e-mail", "live_activity_start": "live activity"}


def single(endpoint: Endpoint) -> str:
    """Name a request without a list of recipients."""
    return _SINGLE.get(endpoint.name, "broadcast")


def ending(plan: Plan, *, single_done: bool, in_doubt: int) -> str:
    """Say how a delivery ended well.

    :param single_done: whether Braze took the one request of a plan without recipients.
    :param in_doubt: requests whose outcome stays unknown.
    """
    report, one = plan.report, single(plan.endpoint)
    if not report.requests and single_done:
        return f"Nothing was left to send: Braze took on the {one} before."
    if in_doubt and not report.unknown:
        return f"Done: the {one} stays in doubt."
    nothing_new = 0 < report.accepted == report.accepted_before
    return f"{'Nothing was left to send' if nothing_new else 'Done'}: {report}."


def doubt(plan: Plan, in_doubt: int, policy: Policy, *, remembered: bool) -> str:
    """Say who is in doubt, and how to go on.

    :param in_doubt: requests whose outcome stays unknown.
    :param remembered: whether a ledger knows what was done.
    """
    report, one = plan.report, single(plan.endpoint)
    requests = f"{in_doubt:,} request{'s' if in_doubt > 1 else ''}"
    whom = f"{report.unknown:,} recipients are" if report.unknown else f"The {one} is"
    state = f"{whom} in doubt ({requests})"
    if policy.idempotent:
        return (
            f"{state}: it may have been sent or not. Let the task try again, by a retry or, with on_clear='resume', by "
            "a clear: Braze sends the same external_send_id only once within 24 hours."
        )
    text = f"{state}: {_where_to_look(plan)} before anything is sent {'to them ' if report.unknown else ''}again."
    return f"{text} {_choices(plan)}" if remembered else text


def _where_to_look(plan: Plan) -> str:
    they = "they" if plan.report.unknown else "it"
    if plan.endpoint.name.endswith("_schedule_create"):
        return (
            f"{they} may have been scheduled or not, and Braze lists no schedule that came through its API. What went "
            "out shows in the campaign's analytics or the users' profiles after its time: look there"
        )
    happened = "been messaged" if plan.report.unknown else "gone out"
    return f"{they} may have {happened} or not. Look into the campaign's analytics or the users' profiles in Braze"


def _choices(plan: Plan) -> str:
    if not plan.report.unknown:
        choices = ["'skip' (leave it at that)", "'resend' (send it again)"]
    else:
        choices = ["'skip' (leave those in doubt out)", "'resend' (send to them again)"]
        if plan.endpoint.name in TRACED and any(map(plan.payload.get, TRACES)):
            choices.append("'reconcile' (ask Braze who got it)")
    others = "Nobody else is forgotten. " if plan.report.unknown else ""
    return f"{others}To go on, set on_unknown to {', '.join(choices[:-1])} or {choices[-1]}, then clear this task."
