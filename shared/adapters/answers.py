"""Checks of responses before their content is used. They raise inside of `translate.understood`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from shared.adapters.translate import unexpected

if TYPE_CHECKING:
    import aiohttp

V = TypeVar("V")

_PORTS = {"http": 80, "https": 443}
_CHUNK = 64 * 1024


def instance(kind: type[V], value: object) -> V:
    """The value, which must be one of this kind."""
    if not isinstance(value, kind):
        raise TypeError(f"no {kind.__name__}")
    return value


def text(value: object) -> str:
    """The value, which must be a text that is not empty."""
    if not instance(str, value):
        raise ValueError("an empty text")
    return str(value)


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port: where a token may go. Services write their default port in links, and leave it
    out elsewhere.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(scheme)


def require_origin(system: str, url: str, ours: str) -> None:
    """A link or a redirection must lead to the same host: no other host gets our token, or is trusted."""
    if origin(url) != origin(ours):
        raise unexpected(system, "it leads to another host")


async def limited(system: str, stream: aiohttp.StreamReader, most: int) -> bytes:
    """The whole body, of at most so many bytes."""
    body = bytearray()
    async for chunk in stream.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > most:
            raise unexpected(system, f"more than {most:,} bytes")
    return bytes(body)
