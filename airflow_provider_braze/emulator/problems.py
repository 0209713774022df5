"""What is wrong with a request: the text on the wire, and the detail that helps a person."""

from __future__ import annotations

from typing import NamedTuple

BAD_REQUEST = "Bad Request"
NO_RECIPIENTS = "No Recipients"
TOO_MANY_IDS = "The max number of ids per request was exceeded"
TOO_MANY_IDS_AND_ALIASES = "The max number of external_ids and aliases per request was exceeded"
INVALID_CAMPAIGN = "Invalid Campaign ID"
NO_MESSAGE = "No message to send"
VARIANT_UNSPECIFIED = "Message Variant Unspecified"
INVALID_VARIANT = "Invalid Message Variant"
MISMATCHED_TYPE = "Mismatched Message Type"
INVALID_EXTRA = "Invalid Extra Push Payload"
APPLE_PUSH_LENGTH = "Apple Push Length Exceeded"
ANDROID_PUSH_LENGTH = "Android Push Length Exceeded"
NO_CAMPAIGN = "Campaign does not exist"


class Problem(NamedTuple):
    """``message`` is the contract's wire message, ``detail`` goes into ``errors``."""

    detail: str
    message: str = BAD_REQUEST


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """Raised by a handler that finds out what only the workspace knows."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = list(problems)
