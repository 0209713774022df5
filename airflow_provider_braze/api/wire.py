"""Bytes out, bytes back: the only module that imports an HTTP library.

Two ways lead to Braze, behind one small shape:

- :class:`HttpxWire`: ``httpx`` transports, one per lane. One shared pool is scanned at every request and becomes
  slower with every connection.
- :class:`AiohttpWire`: ``aiohttp``, where it is installed (extra ``fast``): the quickest.

Each decides the one thing that only it can know: whether a failed request may have reached Braze.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_braze.api.errors import BrazeConnectError, BrazeUnknownOutcomeError

if TYPE_CHECKING:
    import aiohttp

# Raised before a byte of the request has left; every other failure may have come after Braze read it.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
# The profiles of 50 users are a few megabytes; what goes on for longer is none of Braze's, and would fill the memory.
MOST_BYTES = 64 << 20


Transport = httpx.BaseTransport | httpx.AsyncBaseTransport


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    params: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Wire(Protocol):
    """An open way to Braze for many requests at a time."""

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer.

        :raises BrazeConnectError: nothing was sent.
        :raises BrazeUnknownOutcomeError: it may have been received.
        """

    async def aclose(self) -> None:
        """Close all connections."""


def open_wire(base_url: str, lanes: int, timeout: float, transport: Transport | None = None) -> Wire:
    """Choose the quickest way there is.

    :param base_url: where all requests will go.
    :param lanes: how many requests may be under way at once.
    :param timeout: seconds that one request may take.
    :param transport: an ``httpx`` transport to use instead, for tests and special networks.
    """
    if transport is not None:
        if not isinstance(transport, httpx.AsyncBaseTransport):
            transport = _Blocking(transport)
        return HttpxWire([transport], timeout)
    proxy = _proxy_for(base_url)
    if find_spec("aiohttp"):
        return AiohttpWire(lanes, timeout, proxy)
    tls, one = httpx.create_ssl_context(), httpx.Limits(max_connections=1)
    return HttpxWire([httpx.AsyncHTTPTransport(verify=tls, limits=one, proxy=proxy) for _ in range(lanes)], timeout)


class _Blocking(httpx.AsyncBaseTransport):
    """Lets an injected synchronous transport answer."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=response.read())


def _proxy_for(base_url: str) -> str | None:
    """Find the environment's proxy once; a library that looks it up per request spends half a millisecond on it."""
    parts = urlsplit(base_url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


class HttpxWire:
    """``httpx`` transports, used in turn, without the client above them, which costs more than the transport.

    :param transports: one per lane, or a single one that all lanes share.
    :param timeout: seconds that one request may take.
    """

    def __init__(self, transports: Sequence[httpx.AsyncBaseTransport], timeout: float) -> None:
        self._transports = transports
        self._idle = list(transports)
        self._timeout = timeout
        # One timer for the whole request; those that httpx sets around each read and write double its cost.
        self._extensions = {"timeout": {"connect": _connect_seconds(timeout)}}

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer; see :class:`Wire`."""
        transport = self._idle.pop() if self._idle else self._transports[0]
        try:
            with _judged():
                async with asyncio.timeout(self._timeout):
                    response = await transport.handle_async_request(_build(request, self._extensions))
                    try:
                        content = await _whole(response.aiter_bytes())
                    finally:
                        await response.aclose()
                return Answer(response.status_code, response.headers, content)
        finally:
            if len(self._transports) > 1:
                self._idle.append(transport)

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._transports:
            await transport.aclose()


class AiohttpWire:
    """One ``aiohttp`` session with as many connections as lanes."""

    def __init__(self, lanes: int, timeout: float, proxy: str | None = None) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=lanes),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=_connect_seconds(timeout)),
        )
        self._proxy = proxy
        self._not_sent: tuple[type[Exception], ...] = (
            aiohttp.ClientConnectorError,
            aiohttp.ClientHttpProxyError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        )
        self._lost: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, TimeoutError)

    async def exchange(self, request: Request) -> Answer:
        """Send one request and read its answer; see :class:`Wire`."""
        try:
            async with self._session.request(
                request.method,
                request.url,
                data=request.content,
                params=request.params,
                headers=request.headers,
                allow_redirects=False,
                proxy=self._proxy,
            ) as response:
                return Answer(response.status, _lower(response), await _whole(response.content.iter_any()))
        except self._not_sent as error:
            raise _connect_error(error) from None
        except self._lost as error:
            raise _lost_error(error) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


async def _whole(parts: AsyncIterable[bytes]) -> bytes:
    """Put an answer together, of which a server may send more without end."""
    read, size = [], 0
    async for part in parts:
        size += len(part)
        if size > MOST_BYTES:
            raise BrazeUnknownOutcomeError(
                f"The request was sent, and its answer is larger than {MOST_BYTES >> 20} MB, as none of Braze's is, "
                "and was not read to its end (is the connection's host Braze's REST endpoint?)"
            )
        read.append(part)
    return b"".join(read)


@contextlib.contextmanager
def _judged() -> Iterator[None]:
    try:
        yield
    except (*_NOT_SENT, httpx.InvalidURL) as error:
        raise _connect_error(error) from None
    except (httpx.HTTPError, OSError, TimeoutError) as error:
        raise _lost_error(error) from None


def _connect_error(error: Exception) -> BrazeConnectError:
    return BrazeConnectError(
        f"No connection to Braze, nothing was sent ({_describe(error)}). Check the connection's host, and whether this "
        "machine reaches it: DNS, proxy, firewall"
    )


def _lost_error(error: Exception) -> BrazeUnknownOutcomeError:
    # What is no trouble of the operating system quotes the server's bytes, which may hold the key or people.
    what = _describe(error) if isinstance(error, OSError) else type(error).__name__
    return BrazeUnknownOutcomeError(f"The request was sent and its answer was lost ({what})")


def _describe(error: Exception) -> str:
    if hasattr(error, "status"):
        # A proxy's refusal quotes its URL, which may hold a password.
        return f"{type(error).__name__}: {error.status} {getattr(error, 'message', '')}".rstrip()
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _build(request: Request, extensions: dict[str, Any]) -> httpx.Request:
    return httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.content,
        params=request.params,
        extensions=extensions,
    )


def _connect_seconds(timeout: float) -> float:
    # Well within the whole, so that a host out of reach is told from an answer that was lost.
    return min(10.0, timeout / 2)


def _lower(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
