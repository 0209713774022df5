"""All conditions by their kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_braze.conditions.base import Condition
from airflow_provider_braze.conditions.broadcasts import Broadcasts
from airflow_provider_braze.conditions.figures import Figures
from airflow_provider_braze.conditions.received import Received
from airflow_provider_braze.conditions.status import Active

KINDS: dict[str, type[Condition]] = {kind.kind: kind for kind in (Active, Broadcasts, Figures, Received)}


def condition_from_dict(data: Mapping[str, Any]) -> Condition:
    """Make a condition of what :meth:`~airflow_provider_braze.conditions.base.Condition.as_dict` gave."""
    given = dict(data)
    return KINDS[given.pop("kind")](**given)
