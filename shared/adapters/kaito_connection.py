"""Keeps the client of the cluster, with the address and the certificate authority that AKS gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

#: Seconds after which AKS is asked again when the cluster cannot be reached: it may have another address or
#: authority by now.
OLD = 300.0


@dataclass(eq=False, slots=True)
class _Client:
    """A client, when it was made, and how many calls use it right now. A retired one takes no more calls."""

    api: ApiClient
    made: float
    users: int = 0
    retired: bool = False


class Connection:
    """One client for all calls: AKS is asked once, until the cluster refuses the client, or cannot be reached
    by one that is old. A client is closed when its last call has ended.

    `now` is a monotonic clock in seconds.
    """

    def __init__(self, connect: Callable[[], Awaitable[ApiClient]], now: Callable[[], float]) -> None:
        self._connect = connect
        self._now = now
        self._current: _Client | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        """The client, for one call."""
        used = await self._get()
        used.users += 1
        try:
            yield used.api
        finally:
            used.users -= 1
            if used.retired and not used.users:
                await _close(used)

    async def _get(self) -> _Client:
        async with self._connecting:
            if self._current is None:
                self._current = _Client(await self._connect(), self._now())
            return self._current

    def refused(self, api: ApiClient) -> None:
        """The cluster does not accept this client (any more): the next call asks AKS."""
        current = self._current
        if current is not None and current.api is api:
            current.retired, self._current = True, None

    def unreachable(self, api: ApiClient) -> None:
        """There was no connection. While the client is new, its address is right and the cluster is away."""
        if self._current is not None and self._now() - self._current.made >= OLD:
            self.refused(api)

    async def close(self) -> None:
        if self._current is not None:
            await _close(self._current)


async def _close(used: _Client) -> None:
    await used.api.close()  # type: ignore[no-untyped-call]
