"""What is asked for once, and given to everybody who wants it: at the same time, or later on."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """The values used last, for things that never change."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: str, value: V) -> V:
        self._values[key] = value
        if len(self._values) > self._most:
            self._values.popitem(last=False)
        return value


class SingleFlight(Generic[V]):
    """Whoever asks for the same at the same time shares one answer, or one failure. Nothing of it is kept.

    It goes on when somebody stops waiting: the others still want it.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[V]] = {}

    async def share(self, key: str, ask: Callable[[], Awaitable[V]]) -> V:
        """What `ask` gives, which is called unless it is under way already."""
        if key not in self._running:
            task = self._running[key] = asyncio.create_task(_run(ask))
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(self._running[key])

    def _end(self, key: str, task: asyncio.Task[V]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told of one that nobody waited for


async def _run(ask: Callable[[], Awaitable[V]]) -> V:
    return await ask()
