"""The one decision that protects people: what an error says about a request that was to message somebody.

==========================================================  ===========
what happened                                               outcome
==========================================================  ===========
could not connect, pool timeout, TLS failure; 429;          not sent
500, 502, 503
504 and other gateway errors, read timeout, reset,          unknown
unreadable 2xx
any other answer that is no success, a notice               failed
2xx                                                         accepted
==========================================================  ===========

Only "not sent" is repeated. See https://www.braze.com/docs/api/errors/.
"""

from __future__ import annotations

from enum import Enum

from airflow_provider_braze.api.errors import (
    BrazeConnectError,
    BrazeError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeUnknownOutcomeError,
)


class Outcome(Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    NOT_SENT = "not sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


def outcome_of(error: BrazeError | None) -> Outcome:
    """Judge a request by the error it ended with."""
    match error:
        case None:
            return Outcome.ACCEPTED
        case BrazeConnectError() | BrazeRateLimitError() | BrazeServerError():
            return Outcome.NOT_SENT
        case BrazeUnknownOutcomeError():
            return Outcome.UNKNOWN
        case _:
            return Outcome.FAILED
