"""A local Braze for development and tests. Nothing is imported until it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_braze.emulator.runner import BrazeEmulator

__all__ = ["BrazeEmulator"]


def __getattr__(name: str) -> Any:
    if name == "BrazeEmulator":
        from airflow_provider_braze.emulator.runner import BrazeEmulator

        return BrazeEmulator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
