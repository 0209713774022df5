"""A local Braze in a thread, for tests and notebooks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airflow_provider_braze.emulator.clock import Clock
from airflow_provider_braze.emulator.figures import add_figures
from airflow_provider_braze.emulator.firing import catch_up
from airflow_provider_braze.emulator.overview import send_id_rows
from airflow_provider_braze.emulator.serving import listen, server
from airflow_provider_braze.emulator.state import State
from airflow_provider_braze.emulator.workspace import Seed, load_seed

PATIENCE_SECONDS = 60.0


class BrazeEmulator:
    """A Braze workspace on a loopback port; use it as a context manager, or ``start()`` and ``stop()`` it.

    :param port: the port to listen on; 0 takes a free one
    :param seed: a seed file, a mapping laid over the default seed, or None for the default seed
    :param host: the address to listen on
    """

    def __init__(self, port: int = 0, seed: str | Path | Seed | None = None, host: str = "127.0.0.1") -> None:
        self._state = State(seed)
        self._host, self._port = host, port
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen, and return once requests are answered."""
        if self._thread is not None:
            return self
        listener = listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        running = server(self._state)
        thread = threading.Thread(
            target=running.run, kwargs={"sockets": [listener]}, name="braze-emulator", daemon=True
        )
        self._server, self._thread = running, thread
        thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not running.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the Braze emulator did not start")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop listening; does nothing where it is stopped already."""
        running, thread = self._server, self._thread
        self._server = self._thread = None
        if running is None or thread is None:
            return
        running.should_exit = True
        thread.join(PATIENCE_SECONDS)

    @property
    def url(self) -> str:
        """Where it listens, for instance ``http://127.0.0.1:51234``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The first key of the seed; in the default seed it has all permissions."""
        return self._state.workspace.keys[0].key

    @property
    def clock(self) -> Clock:
        """The emulator's time: ``clock.now()``, ``clock.advance(seconds)``."""
        return self._state.clock

    def connection_json(self) -> str:
        """The text for ``AIRFLOW_CONN_BRAZE_DEFAULT``."""
        return json.dumps({"conn_type": "braze", "host": self.url, "password": self.api_key})

    def deliveries(self) -> dict[str, int]:
        """Messages per person, for instance ``{"external_user_id:123": 1}``."""
        with self._caught_up() as state:
            return dict(state.journal.per_recipient)

    def summary(self) -> dict[str, int]:
        """``requests``, distinct ``recipients``, ``total`` messages, and ``min`` and ``max`` of them per person."""
        with self._caught_up() as state:
            return state.journal.summary()

    def requests(self) -> list[dict[str, Any]]:
        """The latest requests, oldest first: method, path, status (None = dropped), body, at, and more."""
        with self._caught_up() as state:
            latest = list(state.journal.exchanges)
        return [exchange.as_dict() for exchange in latest]

    def request_counts(self) -> dict[str, int]:
        """All requests since the last reset by endpoint, for instance ``{"GET /campaigns/data_series": 3}``."""
        with self._state.lock:
            return dict(self._state.journal.per_endpoint)

    def messages(self) -> list[dict[str, Any]]:
        """The latest messages, oldest first, with subject and body as their reader sees them."""
        with self._caught_up() as state:
            latest = list(state.journal.messages)
        return [message.as_dict() for message in latest]

    def schedules(self) -> list[dict[str, Any]]:
        """All schedules, oldest first: schedule_id, kind, state (waiting, sending, fired, deleted), due_at, body."""
        with self._caught_up() as state:
            return [scheduled.as_dict() for scheduled in state.schedules]

    def live_activities(self) -> list[dict[str, Any]]:
        """All live activities, oldest first: activity_id, state, content_state, recipients, updates, and more."""
        with self._caught_up() as state:
            return [activity.as_dict(state.clock.now()) for activity in state.live_activities]

    def send_ids(self) -> list[dict[str, Any]]:
        """The send ids made, oldest first: send_id, campaign_id, created_at, sent."""
        with self._caught_up() as state:
            return send_id_rows(state)

    @contextmanager
    def _caught_up(self) -> Iterator[State]:
        with self._state.lock:
            catch_up(self._state)
            yield self._state

    def inject(
        self, kind: str, *, path: str | None = None, times: int | None = 1, skip: int = 0, **options: Any
    ) -> int:
        """Put a fault in force and return its id; the kinds and their options are in ``faults.KINDS``."""
        with self._state.lock:
            fault = self._state.faults.add(kind, path=path, times=times, skip=skip, **options)
            self._state.touch()
            return fault.id

    def clear_faults(self) -> None:
        """Take all faults out of force."""
        with self._state.lock:
            self._state.faults.clear()
            self._state.touch()

    def reset(self, seed: str | Path | Seed | None = None) -> None:
        """Back to the seed (or to another one): nothing sent, no faults, the clock in the present."""
        self._state.reset(None if seed is None else load_seed(seed))

    def add_campaign(self, id: str, **campaign: Any) -> None:  # noqa: A002 - Braze's word
        """Add or replace a campaign: name, state, channel, tags, message, target_audience as in a seed file.

        What was delivered under this id stays counted; to change the state alone, use ``change_program``.
        """
        with self._state.lock:
            self._state.workspace.add_campaign(id, **campaign)
            self._state.touch()

    def add_canvas(self, id: str, **canvas: Any) -> None:  # noqa: A002 - Braze's word
        """Add or replace a Canvas: the same keywords as a campaign's."""
        with self._state.lock:
            self._state.workspace.add_canvas(id, **canvas)
            self._state.touch()

    def change_program(self, *, campaign_id: str | None = None, canvas_id: str | None = None, **changes: Any) -> None:
        """Change a campaign or a Canvas as somebody in the dashboard would, and nothing else of it.

        :param state: active, paused, stopped, archived or draft
        :param next_send_time: when the dashboard sends it next, a datetime or ISO 8601 text; None: not scheduled
        :param schedule_type: local_time_zones, intelligent_delivery, or None for the company's time zone
        """
        with self._state.lock:
            self._state.workspace.change_program(campaign_id, canvas_id, **changes)
            self._state.touch()

    def add_figures(
        self,
        *,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        send_id: str | None = None,
        channel: str | None = None,
        variation: str | None = None,
        day: str | date | int | None = None,
        **counts: float,
    ) -> None:
        """Let people open, click, bounce or convert: adds to the analytics on top of what was delivered.

        Names that nothing of the kind counts are refused; a sum below zero shows as zero.

        :param send_id: adds to its analytics and to those of its campaign
        :param channel: as the dashboard or the exports call it; needed where several count this
        :param variation: the id of a variation; needed where several of the channel count this
        :param day: a date, or days from today (-1 is yesterday), in the workspace's zone; today by default
        :param counts: by the names of the exports, for instance ``opens=3, delivered=-2, bounces=2``
        """
        with self._caught_up() as state:
            add_figures(
                state,
                campaign_id=campaign_id,
                canvas_id=canvas_id,
                send_id=send_id,
                channel=channel,
                variation=variation,
                day=day,
                **counts,
            )

    def add_segment(self, id: str, **segment: Any) -> None:  # noqa: A002 - Braze's word
        """Add or replace a segment: name, tags, description, filter (a connected audience; none: everybody)."""
        with self._state.lock:
            self._state.workspace.add_segment(id, **segment)
            self._state.touch()

    def add_users(self, users: Iterable[Mapping[str, Any]]) -> None:
        """Make people known: external_id, aliases, email, braze_id; all else are attributes."""
        with self._state.lock:
            self._state.workspace.add_users(users)
            self._state.touch()
