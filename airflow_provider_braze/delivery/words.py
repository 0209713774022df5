"""Figures as a person reads them."""

from __future__ import annotations

_UNITS = ((48 * 3600, 86_400, "days"), (5400, 3600, "hours"), (90, 60, "minutes"))


def duration(seconds: float) -> str:
    """Put a duration into words, such as ``"2.5 hours"``.

    :param seconds: how long it is.
    """
    for least, unit, name in _UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.0f} s"
