"""What can go wrong between an audience and Braze.

::

    BrazeError
    ├── BrazeAudienceError    the audience cannot be read or sent as it is; nothing was sent
    └── BrazeDeliveryError    sending stopped; ``report`` says how many got through
        └── BrazeNobodyMessagedError    it stopped before anybody was messaged: the task may be run again
"""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.api.errors import BrazeError


class BrazeAudienceError(BrazeError):
    """The audience cannot be read, or holds rows that cannot be sent. Nothing was sent."""


class BrazeDeliveryError(BrazeError):
    """Not everybody got through.

    :param message: what happened and how to go on.
    :param report: the counts, as the operator would have returned them.
    """

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        self.report = report
        super().__init__(message)


class BrazeNobodyMessagedError(BrazeDeliveryError):
    """Sending stopped before Braze took a single request: the same may be tried again."""
