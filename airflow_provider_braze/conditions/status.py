"""Waits until a campaign or Canvas is active: neither paused nor a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from airflow_provider_braze.conditions.base import Condition, Question, Verdict
from airflow_provider_braze.conditions.errors import BrazeWaitRefusedError

NAMES = {"campaign": "campaign", "canvas": "Canvas"}


def details_question(of: str, program_id: str) -> Question:
    """Ask for what Braze knows of a campaign or Canvas."""
    endpoint, field = ("canvas_details", "canvas_id") if of == "canvas" else ("campaigns_details", "campaign_id")
    return Question.of(endpoint, {field: program_id})


@dataclass
class Active(Condition):
    """A campaign or Canvas is enabled.

    :param of: ``campaign`` or ``canvas``.
    :param program_id: its API identifier.
    """

    of: str
    program_id: str

    kind: ClassVar[str] = "active"

    def questions(self, now: datetime) -> list[Question]:  # noqa: ARG002
        """Ask for the details."""
        return [details_question(self.of, self.program_id)]

    def judge(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> Verdict:  # noqa: ARG002
        """An archived one does not come back by itself, a draft may be launched."""
        [details] = answers
        if not isinstance(details.get("enabled"), bool):
            raise BrazeWaitRefusedError(
                f"Braze's answer does not say whether {NAMES[self.of]} {self.program_id} is on."
            )
        name = f"{NAMES[self.of]} {details.get('name')!r}"
        result = {
            "name": details.get("name"),
            **{key: bool(details.get(key)) for key in ("enabled", "archived", "draft")},
        }
        if result["archived"]:
            return Verdict("failed", f"{name} is archived: nobody will un-pause it.", result)
        if result["draft"] or not result["enabled"]:
            return Verdict("waiting", f"{name} is {'a draft' if result['draft'] else 'paused'}.", result)
        return Verdict("met", f"{name} is active.", result)
