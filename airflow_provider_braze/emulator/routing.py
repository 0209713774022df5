"""Which endpoint of the contract a request means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airflow_provider_braze.emulator.specification import EndpointSpec


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and the values in its path."""

    endpoint: EndpointSpec
    path_params: Mapping[str, str] = field(default_factory=dict)


class Routes:
    """Plain paths by a look-up, paths with parameters by a pattern."""

    def __init__(self, endpoints: Iterable[EndpointSpec]) -> None:
        self._plain: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], EndpointSpec]] = []
        self._paths: set[str] = set()
        for endpoint in endpoints:
            self._paths.add(endpoint.path)
            if endpoint.path_params:
                self._patterns.append((_pattern(endpoint.path), endpoint))
            else:
                self._plain[endpoint.method, endpoint.path] = Route(endpoint)

    def find(self, method: str, path: str) -> Route | None:
        """The endpoint of this method and path."""
        if (plain := self._plain.get((method, path))) is not None:
            return plain
        for pattern, endpoint in self._patterns:
            if endpoint.method == method and (match := pattern.fullmatch(path)):
                return Route(endpoint, match.groupdict())
        return None

    def known_path(self, path: str) -> str | None:
        """The contract's own way to write this path, whatever the method; None where it has no such path."""
        if path in self._paths:
            return path
        return next((endpoint.path for pattern, endpoint in self._patterns if pattern.fullmatch(path)), None)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", path)
    return re.compile("".join(f"(?P<{part}>[^/]+)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))
