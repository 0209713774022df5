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
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError

# After these somebody may have been messaged: Airflow must not try again on its own.
_FINAL = (BrazeDeliveryError, BrazeUnknownOutcomeError)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise each Braze error as its twin under ``AirflowException``.

    Errors after which somebody may have been messaged are ``AirflowFailException`` too, so that no retry follows.
    """
    try:
        yield
    except BrazeError as error:
        twin = _twin(type(error))
        changed = twin.__new__(twin)
        changed.__dict__.update(error.__dict__)
        changed.args = error.args
        raise changed.with_traceback(error.__traceback__) from error.__cause__


_TWINS: dict[type[BrazeError], type[BrazeError]] = {}


def _twin(kind: type[BrazeError]) -> type[BrazeError]:
    if issubclass(kind, AirflowException):
        return kind
    if kind not in _TWINS:
        _TWINS[kind] = _make_twin(kind)
    return _TWINS[kind]


def _make_twin(kind: type[BrazeError]) -> type[BrazeError]:
    final = issubclass(kind, _FINAL) and not issubclass(kind, BrazeNobodyMessagedError)
    parent = AirflowFailException if final else AirflowException
    return type(kind.__name__, (kind, parent), {"__module__": kind.__module__, "__doc__": kind.__doc__})
