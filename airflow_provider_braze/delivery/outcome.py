"""The one decision that protects people: what an error says about a request that was to message somebody.

==========================================================  ===========
what happened                                               outcome
==========================================================  ===========
refused here, by validation or a guard                      refused
could not connect, pool timeout, TLS failure; 429;          not sent
500, 502, 503
504 and other gateway errors, read timeout, reset,          unknown
unreadable 2xx; 500, 502, 503 where they are not trusted
any other answer that is no success, a notice               failed
2xx, also 202                                               accepted
==========================================================  ===========

Only "not sent" is repeated. See https://www.braze.com/docs/api/errors/.
"""

from __future__ import annotations

from enum import Enum

from airflow_provider_braze.api.errors import (
    BrazeConfigurationError,
    BrazeConnectError,
    BrazeError,
    BrazeGuardError,
    BrazeRateLimitError,
    BrazeServerError,
    BrazeUnknownOutcomeError,
    BrazeValidationError,
)


class Outcome(Enum):
    """What became of a request."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


def outcome_of(error: BrazeError | None, *, trust_server_errors: bool = True) -> Outcome:
    """Judge a request by the error it ended with.

    :param trust_server_errors: whether 500, 502 and 503 mean that nothing was sent, as Braze's errors page says.
    """
    match error:
        case None:
            return Outcome.ACCEPTED
        case BrazeValidationError() | BrazeConfigurationError() | BrazeGuardError():
            return Outcome.REFUSED
        case BrazeServerError() if not trust_server_errors:
            return Outcome.UNKNOWN
        case BrazeConnectError() | BrazeRateLimitError() | BrazeServerError():
            return Outcome.NOT_SENT
        case BrazeUnknownOutcomeError():
            return Outcome.UNKNOWN
        case _:
            return Outcome.FAILED
