"""What tests of the hook need beside the emulator: a place where there is no Braze."""

from __future__ import annotations

import pytest


@pytest.fixture
def other_server(served):
    """Some other HTTP server: call it with status, content and headers of all its answers; gives its URL."""
    return lambda status, content, **headers: served(
        lambda *_: (status, content, {"content-type": "text/html", **headers})
    )
