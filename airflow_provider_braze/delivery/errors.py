"""What can go wrong between an audience and Braze.

::

    BrazeError
    ├── BrazeAudienceError    the audience cannot be read or sent as it is; nothing was sent
    ├── BrazeLedgerError      the ledger cannot be read or written, or another try has taken over
    └── BrazeDeliveryError    sending stopped; ``report`` says how many got through
        ├── DeliveryPausedError         the quota is used up: it is to go on in ``resume_after`` seconds
        ├── BrazeResumableError         the ledger knows who got it: the task may be run again, for the others
        └── BrazeNobodyMessagedError    it stopped before anybody was messaged: the task may be run again
"""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.api.errors import BrazeError


class BrazeAudienceError(BrazeError):
    """The audience cannot be read, or holds rows that cannot be sent. Nothing was sent."""


class BrazeLedgerError(BrazeError):
    """The ledger cannot be read or written, or another try of the task has taken over. Nothing more is sent.

    :param settled: whether the outcomes that came with the intents it refuses are in the ledger all the same.
    """

    def __init__(self, message: str, *, settled: bool = False) -> None:
        self.settled = settled
        super().__init__(message)


class BrazeDeliveryError(BrazeError):
    """Not everybody got through.

    :param message: what happened and how to go on.
    :param report: the counts, as the operator would have returned them.
    """

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        self.report = report
        super().__init__(message)


class BrazeResumableError(BrazeDeliveryError):
    """Not everybody got through, and the ledger knows who did: the same task may run again for the others."""


class BrazeNobodyMessagedError(BrazeDeliveryError):
    """Sending stopped before Braze took a single request: the same may be tried again."""


class DeliveryPausedError(BrazeDeliveryError):
    """Nothing went wrong, but the wait is longer than a worker should be kept for.

    :param resume_after: seconds after which the same task should go on.
    """

    def __init__(self, message: str, report: dict[str, Any], resume_after: float) -> None:
        self.resume_after = resume_after
        super().__init__(message, report)
