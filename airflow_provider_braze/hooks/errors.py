"""Makes Braze's errors Airflow's own.

``api`` and ``delivery`` know nothing of Airflow's exceptions, yet an operator's errors must be ``AirflowException``.
Here every error gets a twin that is both, so that ``except BrazeRateLimitError`` and ``except AirflowException`` each
catch it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_braze.api.errors import BrazeError, BrazeUnknownOutcomeError
from airflow_provider_braze.conditions.errors import BrazeWaitFailedError
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError, BrazeResumableError

# After these somebody may have been messaged: Airflow must not try again on its own.
_FINAL = (BrazeDeliveryError, BrazeUnknownOutcomeError)
# After these, waiting once more would end the same way.
_SETTLED = (BrazeWaitFailedError,)
# Unless nobody was, or the ledger knows who.
_NOT_FINAL = (BrazeNobodyMessagedError, BrazeResumableError)


@contextmanager
def airflow_errors(repeatable: bool = False) -> Iterator[None]:
    """Raise each Braze error as its twin under ``AirflowException``.

    :param repeatable: whether the call may be repeated in any case. Otherwise errors after which somebody may have
        been messaged are ``AirflowFailException`` too, so that no retry follows.
    """
    try:
        yield
    except BrazeError as error:
        twin = _twin(type(error), repeatable)
        changed = twin.__new__(twin)
        changed.__dict__.update(error.__dict__)
        changed.args = error.args
        raise changed.with_traceback(error.__traceback__) from error.__cause__


_TWINS: dict[tuple[type[BrazeError], type[AirflowException]], type[BrazeError]] = {}


def _twin(kind: type[BrazeError], repeatable: bool) -> type[BrazeError]:
    if issubclass(kind, AirflowException):
        return kind
    final = issubclass(kind, _FINAL) and not issubclass(kind, _NOT_FINAL) and not repeatable
    final = final or issubclass(kind, _SETTLED)
    parent = AirflowFailException if final else AirflowException
    if (kind, parent) not in _TWINS:
        names = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        _TWINS[kind, parent] = type(kind.__name__, (kind, parent), names)
    return _TWINS[kind, parent]
