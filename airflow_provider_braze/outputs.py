"""Outputs of upstream tasks inside an audience: whoever reads the audience waits for those tasks.

Airflow looks for them in an operator's own fields and in collections, and into no other object. Without the edge a task
could read its audience before the upstream task has said who is in it, and message nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.audience import Audience

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator as Operator
    from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial
else:
    # Airflow wraps the __init__ of its own kind, which would pass over those beside this one.
    Operator = object


class AudienceOutputs(Operator):
    """Mixed into an operator or a sensor, makes it wait for the outputs inside its audiences, mapped or not."""

    @classmethod
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Begin a mapped task, as Airflow's own."""
        begun: Any = _Partial(super().partial(**kwargs))
        return begun  # type: ignore[no-any-return]

    def _set_xcomargs_dependencies(self) -> None:
        """Airflow calls it once the operator is made, unless that is one of a mapped task's."""
        super()._set_xcomargs_dependencies()
        _wait_for(self, [getattr(self, name, None) for name in self.template_fields])


class _Partial:
    """What Airflow's ``partial()`` gives, which makes a task that waits."""

    def __init__(self, begun: OperatorPartial) -> None:
        self._begun = begun

    def __repr__(self) -> str:
        return repr(self._begun)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._begun, name)

    def expand(self, **mapped: Any) -> MappedOperator:
        """Map over lists."""
        return _waiting(self._begun.expand(**mapped))

    def expand_kwargs(self, kwargs: Any, **options: Any) -> MappedOperator:
        """Map over sets of parameters."""
        return _waiting(self._begun.expand_kwargs(kwargs, **options))


def _waiting(task: MappedOperator) -> MappedOperator:
    _wait_for(task, [task.partial_kwargs, task.expand_input.value])
    return task


def _wait_for(task: Any, values: Any) -> None:
    from airflow.providers.common.compat.sdk import XComArg

    found = XComArg.iter_xcom_references(list(_inside(values)))
    # Parts of an audience hold the same outputs.
    for operator in {operator.node_id: operator for operator, _ in found}.values():
        task.set_upstream(operator)


def _inside(value: Any) -> Iterator[Any]:
    """Yield what the templated fields of all audiences in a value hold."""
    if isinstance(value, Audience):
        for name in getattr(value, "template_fields", ()):
            field = getattr(value, name)
            yield field
            yield from _inside(field)
    elif isinstance(value, Mapping):
        yield from _inside(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _inside(one)
