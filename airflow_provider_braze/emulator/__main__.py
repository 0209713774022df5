"""``python -m airflow_provider_braze.emulator``: a local Braze in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import sys
import threading
from collections.abc import Sequence

from airflow_provider_braze.emulator.guide import routes


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, say where everything is, and serve until interrupted."""
    options = _options(arguments)
    from airflow_provider_braze.emulator.serving import listen, server
    from airflow_provider_braze.emulator.state import State

    try:
        state = State(options.seed)
        listener = listen(options.host, options.port)
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"Cannot start: {error}", file=sys.stderr)  # noqa: T201
        return 2
    port = listener.getsockname()[1]
    url = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}"
    print(_greeting(url, state.workspace.keys[0].key, options.host), flush=True)  # noqa: T201
    running = server(state, access_log=options.access_log)
    if options.stop_after:
        stop = threading.Timer(options.stop_after, setattr, (running, "should_exit", True))
        stop.daemon = True
        stop.start()
    with contextlib.suppress(KeyboardInterrupt):
        running.run(sockets=[listener])
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_braze.emulator",
        description="A local Braze: takes the requests, shows the messages, sends nothing to anybody.",
        epilog=_guide(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8010, help="port to listen on, 0 takes a free one (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--seed", help="YAML file with campaigns, users and keys (default: a small example)")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="stop by itself after this time")
    parser.add_argument("--access-log", action="store_true", help="print a line per request")
    return parser.parse_args(arguments)


def _guide() -> str:
    width = max(map(len, routes())) + 2
    lines = (f"  {route:{width}}{told}" for route, told in routes().items())
    return "\n".join(["the inbox page is at /; as JSON there are:", *lines])


def _greeting(url: str, key: str, host: str) -> str:
    connection = json.dumps({"conn_type": "braze", "host": url, "password": key})
    quoted = connection.replace("'", "'\\''")
    lines = [
        f"A local Braze answers at {url}. Nothing it is sent reaches anybody.",
        f"Inbox:      {url}/",
        f"As JSON:    {url}/__emulator__/",
        "Connection for Airflow:",
        f"  export AIRFLOW_CONN_BRAZE_DEFAULT='{quoted}'",
    ]
    if not _is_loopback(host):
        lines.append("Careful: on this address others on your network can read and steer it, without a key.")
    lines.append("Stop with Ctrl+C.")
    return "\n".join(lines)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    raise SystemExit(main())
