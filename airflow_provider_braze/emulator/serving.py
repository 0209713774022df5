"""The ASGI application and the uvicorn server around it."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from airflow_provider_braze.emulator.admin import admin_routes
from airflow_provider_braze.emulator.api import BrazeApi
from airflow_provider_braze.emulator.connections import RememberingProtocol
from airflow_provider_braze.emulator.inbox import inbox_routes
from airflow_provider_braze.emulator.state import State


def application(state: State) -> Starlette:
    """The inbox at ``/``, the admin under ``/__emulator__/``, and Braze everywhere else."""
    app = Starlette(routes=[*inbox_routes(state), *admin_routes(state), Mount("/", app=BrazeApi(state))])
    app.router.redirect_slashes = False
    return app


def server(state: State, access_log: bool = False) -> uvicorn.Server:
    """A quiet uvicorn server that can break connections."""
    config = uvicorn.Config(
        application(state),
        http=RememberingProtocol,
        lifespan="off",
        access_log=access_log,
        log_level="info" if access_log else "warning",
        server_header=False,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(2048)
    return listener
