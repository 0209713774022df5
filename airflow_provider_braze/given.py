"""Parameters that were given, and turn out to hold nothing when the task runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator as Operator
else:
    # Airflow wraps the __init__ of its own kind, which would pass over those beside this one.
    Operator = object

# What a field holds whose template or upstream task gave nothing; most templates give texts.
_NOTHING = ("", "None", "null")


class GivenFields(Operator):
    """Mixed into an operator or a sensor, notes which of its parameters were given and hold nothing.

    Such a parameter is not one that was never given: without it something else would be meant.
    """

    template_fields: Sequence[str]
    _missing: frozenset[str] = frozenset()

    def __new__(cls, *_: Any, **kwargs: Any) -> Self:
        """Of a mapped task, note what its mapping gave as None, which is not what was never given."""
        made = super().__new__(cls)
        if kwargs.get("_airflow_from_mapped"):
            missing = {name for name, value in kwargs.items() if value is None}
            # Airflow's own way to set an attribute needs what __init__ makes.
            object.__setattr__(made, "_missing", frozenset(missing.intersection(cls._meant_fields())))
        return made

    @classmethod
    def _meant_fields(cls) -> set[str]:
        """Name the fields that, once given, must hold something when the task runs."""
        return {*cls.template_fields} - {"braze_conn_id"}

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Render, and note which fields were given and turn out to hold nothing."""
        given = {name for name in self._meant_fields() if getattr(self, name, None) is not None}
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            self._missing |= {name for name in given if _is_nothing(getattr(self, name))}

    def given_in_vain(self, without: str) -> list[str]:
        """Say which parameters were given and hold nothing.

        :param without: what might happen without them.
        """
        problem = (
            "was given, and holds nothing when the task runs: its template or upstream task gave none. Without it "
            f"{without}: leave the parameter out if that is meant"
        )
        return [f"{name}: {problem}" for name in sorted(self._missing)]


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in _NOTHING)
