"""What the author of a DAG wishes where sending does not go smoothly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args

OnUnknown = Literal["fail", "skip", "resend", "reconcile"]
ON_UNKNOWN = get_args(OnUnknown)
TRACED = ("campaigns_trigger_send", "canvas_trigger_send", "messages_send")
"""Endpoints whose messages Braze notes in the users' profiles, with a campaign or Canvas."""
SETTLING_TIME = timedelta(minutes=5)
MAX_QUOTA_WAIT = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Policy:
    """Wishes for one delivery.

    :param on_unknown: what becomes of recipients who may or may not have been messaged.
    :param allow_paused: whether it is fine that nothing goes out because the campaign or Canvas is paused.
    :param retry_server_errors: whether 500, 502 and 503 mean that nothing was sent, as Braze's errors page says.
    :param idempotent: whether Braze itself sends a repeated request once.
    :param repeat_is_refused: whether Braze knows a request that it took before by an id, and refuses it as such.
    :param own_id: whether that id is known to be of this very message, whoever brought it to Braze.
    :param longest_wait: seconds to wait for the quota, or for Braze to settle, before the task defers; None waits.
    :param settling_time: seconds that Braze gets to write a message into the profiles before it is asked who got it.
    """

    on_unknown: OnUnknown = "fail"
    allow_paused: bool = False
    retry_server_errors: bool = True
    idempotent: bool = False
    repeat_is_refused: bool = False
    own_id: bool = False
    longest_wait: float | None = None
    settling_time: float = SETTLING_TIME.total_seconds()
