"""Figures that no delivery gives: people open, click, bounce and convert as often as a test or a seed says.

They come on top of what was delivered, each counter by itself: more "sent" makes no more "delivered".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from datetime import date, timedelta
from typing import Any, Protocol

from airflow_provider_braze.emulator.analytics import (
    canvas_counters,
    day_counters,
    exported_name,
    send_counters,
    variation_counters,
)
from airflow_provider_braze.emulator.clock import Clock
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.journal import Journal
from airflow_provider_braze.emulator.references import SendIds, tally_key
from airflow_provider_braze.emulator.tallies import Day, Part
from airflow_provider_braze.emulator.workspace import Workspace


class Counted(Protocol):
    """What figures need of the emulator's state, which itself needs them for its seed."""

    clock: Clock
    workspace: Workspace
    journal: Journal
    send_ids: SendIds

    def day(self, at: float) -> str:
        """The calendar day of an instant."""

    def touch(self) -> None:
        """Say that something changed."""


def add_figures(
    state: Counted,
    *,
    campaign_id: str | None = None,
    canvas_id: str | None = None,
    send_id: str | None = None,
    channel: str | None = None,
    variation: str | None = None,
    day: str | date | int | None = None,
    **counts: float,
) -> dict[str, Any]:
    """Add to the counters of a day, and say which; those of a send id are its campaign's, too.

    :param channel: as the dashboard or the exports call it; needed where several count this
    :param variation: the id of a variation; needed where several of the channel count this
    :param day: a date (``2031-04-07``), or days from today (-1 is yesterday), in the workspace's zone; today by default
    :param counts: by the names of the exports, for instance ``opens=3, delivered=-2``
    """
    program = state.workspace.program(campaign_id, canvas_id)
    makers = state.send_ids.campaigns_of(send_id) if send_id is not None and program.kind == "campaign" else ()
    if send_id is not None and program.id not in makers:
        raise ValueError(f"nobody made the send_id {send_id!r} for this {program.label}; /sends/id/create does")
    _check_numbers(counts)
    own = {part: _names(part, send_id) for part in _parts(program, channel, variation)}
    totals = (canvas_counters() if program.kind == "canvas" else day_counters()).keys()
    part = _meant(own, counts.keys() - totals, totals)
    on = _date(state, day)
    days = state.journal.tallies
    _add(days[program.key].days[on], counts, totals, part, _names(part) if part else set())
    if send_id is not None:
        _add(days[tally_key(send_id, program.id)].days[on], counts, totals, part, own[part] if part else set())
    state.touch()
    return {
        "id": program.id,
        "kind": program.kind,
        "send_id": send_id,
        "channel": exported_name(part[0]) if part else None,
        "variation": part[1] if part else None,
        "day": on,
        "added": counts,
    }


def _names(part: Part, send_id: str | None = None) -> Set[str]:
    return (variation_counters(exported_name(part[0])) if send_id is None else send_counters()).keys()


def _parts(program: Program, channel: str | None, variation: str | None) -> list[Part]:
    """The variations that may be meant."""
    parts = [
        (one.channel, one.id)
        for one in program.variations
        if channel in (None, one.channel, exported_name(one.channel)) and variation in (None, one.id)
    ]
    if not parts:
        has = ", ".join(f"{exported_name(one.channel)} ({one.id})" for one in program.variations)
        raise ValueError(f"the {program.label} has no such channel or variation; it has {has}")
    return parts


def _meant(own: Mapping[Part, Set[str]], wanted: Set[str], totals: Set[str]) -> Part | None:
    """The one variation that counts all this; None where only totals are wanted and there are several."""
    fitting = [part for part, names in own.items() if wanted <= names]
    if not fitting:
        counted = {exported_name(part[0]): ", ".join(names) for part, names in own.items()}
        each = "; ".join(f"{channel} counts {names}" for channel, names in counted.items())
        raise ValueError(f"no channel counts {', '.join(sorted(wanted))}: {each}; a day counts {', '.join(totals)}")
    if wanted and len(fitting) > 1:
        which = ", ".join(f"{exported_name(part[0])} ({part[1]})" for part in fitting)
        raise ValueError(f"say which channel, or which variation: {which}")
    return fitting[0] if len(fitting) == 1 else None


def _add(day: Day, counts: Mapping[str, float], totals: Set[str], part: Part | None, names: Set[str]) -> None:
    day.add({name: count for name, count in counts.items() if name in totals})
    if part is not None:
        day.add({name: count for name, count in counts.items() if name in names}, part)


def _check_numbers(counts: Mapping[str, float]) -> None:
    if not counts:
        raise ValueError("say what to add, for instance opens=3")
    for name, count in counts.items():
        number = int | float if name == "revenue" else int
        if not isinstance(count, number) or isinstance(count, bool) or not math.isfinite(count):
            raise ValueError(f"{name} must be a {'number' if name == 'revenue' else 'whole number'}, not {count!r}")


def _date(state: Counted, day: str | date | int | None) -> str:
    today = date.fromisoformat(state.day(state.clock.now()))
    if isinstance(day, date):
        return date(day.year, day.month, day.day).isoformat()
    if isinstance(day, str):
        return date.fromisoformat(day).isoformat()
    try:
        return (today + timedelta(days=day or 0)).isoformat()
    except OverflowError as error:
        raise ValueError(f"day {day} is on no calendar") from error
