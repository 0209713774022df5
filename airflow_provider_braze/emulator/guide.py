"""What the emulator answers under ``/__emulator__/``: for the index there, and for ``--help``. Imports nothing."""

from __future__ import annotations

PREFIX = "/__emulator__"
DEFAULT_LIMIT = 100
GUIDE = {
    "GET /requests": f"the latest requests, newest first; ?limit={DEFAULT_LIMIT}; ?summary=1: all, counted by endpoint",
    "GET /messages": f"the latest messages, newest first; ?limit={DEFAULT_LIMIT}",
    "GET /deliveries": "messages per person; ?summary=1 for the totals only",
    "GET /schedules": f"scheduled sends, newest first; ?limit={DEFAULT_LIMIT}",
    "GET /live_activities": "live activities and their content, newest first",
    "GET /send_ids": "the send ids made, newest first",
    "GET /programs": "campaigns and Canvases: state, next_send_time, schedule_type",
    "POST /programs": 'change one: {"campaign_id" or "canvas_id", "state", "next_send_time", "schedule_type"}',
    "POST /figures": 'opens, clicks, ...: {"campaign_id" or "canvas_id", "send_id", "channel", "day", "opens": 3, ...}',
    "GET /faults": "the faults in force, and the kinds there are",
    "POST /faults": 'one more: {"kind", "path", "times" (null = until removed), "skip", options}',
    "DELETE /faults": "all of them, or one by /faults/<id>",
    "POST /reset": "back to the seed",
    "GET /clock": "the time here",
    "POST /clock": 'move the time on: {"advance": seconds}',
}


def routes() -> dict[str, str]:
    """Each route in full, and what it is for."""
    return {line.replace(" ", f" {PREFIX}", 1): told for line, told in GUIDE.items()}
