"""`make bench`: ratios from one run, side by side. Absolute figures depend on the machine; nothing here is asserted.

Each contestant runs in a process of its own against a stub server in another one, in turn, several rounds; shown are
the median rate and the median of the ratios within a round.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

import airflow_bench
import ten_million
import waits_bench
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ROUNDS = 5
console = Console(highlight=False)


def main() -> None:
    with stub(0.0) as url:
        compare(
            "No latency, requests a second",
            url,
            {"ours": 4000, "ours_without_aiohttp": 1500, "bare_aiohttp": 4000, "sequential_requests": 1000},
            "bare_aiohttp",
        )
        split(url)
        memory(url)
    with stub(0.05) as url:
        compare(
            "50 ms latency, requests a second",
            url,
            {"ours": 1600, "ours_without_aiohttp": 1600, "bare_aiohttp": 1600, "sequential_requests": 60},
            "sequential_requests",
        )
        airflow_bench.main(url, run)
    waits_bench.main()
    ten_million.main()


def compare(title: str, url: str, contestants: dict[str, int], against: str) -> None:
    rounds = []
    for _ in range(ROUNDS):
        rounds.append({name: count / run(name, url, count)["seconds"] for name, count in contestants.items()})
    table = Table(title=title, title_justify="left")
    for heading in ("contestant", "median", "least", "most", f"ratio to {against}"):
        table.add_column(heading, justify="left" if heading == "contestant" else "right")
    for name in contestants:
        rates = [figures[name] for figures in rounds]
        ratio = median(figures[name] / figures[against] for figures in rounds)
        table.add_row(name, f"{median(rates):,.0f}", f"{min(rates):,.0f}", f"{max(rates):,.0f}", f"{ratio:.2f}")
    console.print(table)


def split(url: str) -> None:
    requests = 4000
    figures = [run("ours", url, requests) for _ in range(ROUNDS)]
    valid = median(run("validating", url, requests)["cpu"] for _ in range(ROUNDS)) / requests * 1e6
    plan = median(figure["plan_cpu"] for figure in figures) / requests * 1e6
    send = median(figure["send_cpu"] for figure in figures) / requests * 1e6
    console.print(
        f"CPU for 50 recipients: {valid:.0f} µs to validate and encode them, {max(0, plan - valid):.0f} µs to merge "
        f"and spool them, {send:.0f} µs to send them (validating and encoding / sending: {valid / send:.2f})\n"
    )


def memory(url: str) -> None:
    small, large = run("memory", url, 200), run("memory", url, 20_000)
    console.print(
        f"Resident memory: {small['rss_mb']:.1f} MB after 10,000 recipients, {large['rss_mb']:.1f} MB after 1,000,000: "
        f"{large['rss_mb'] - small['rss_mb']:.1f} MB more (peaks: {small['peak_mb']:.1f}, {large['peak_mb']:.1f} MB)\n"
    )


def run(name: str, url: str, requests: int) -> dict[str, float]:
    command = [sys.executable, HERE / "contestants.py", name, url, str(requests)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextmanager
def stub(latency: float):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, HERE / "stub.py", str(port), str(latency)])
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
