"""What is wrong with a request: the text on the wire, and the detail that helps a person."""

from __future__ import annotations

from typing import NamedTuple

BAD_REQUEST = "Bad Request"
NO_RECIPIENTS = "No Recipients"
TOO_MANY_IDS = "The max number of ids per request was exceeded"
INVALID_CAMPAIGN = "Invalid Campaign ID"


class Problem(NamedTuple):
    """``message`` is the contract's wire message, ``detail`` goes into ``errors``."""

    detail: str
    message: str = BAD_REQUEST
