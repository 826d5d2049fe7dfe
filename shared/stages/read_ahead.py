"""A read that a stage begins beside its look at the branch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Generic, TypeVar

V = TypeVar("V")


class ReadAhead(Generic[V]):
    """What a stage reads in any case, by the team's name alone: begun at once, so that it and the look at the
    branch take the time of one call. Whoever asks first gets that; every later one has it read anew.

    What is read so is newer than the message, since the handling had begun, and an ETag of it is at least as
    strict as one that is read after the look. At the end of the block a read that nobody has asked for is
    given up.
    """

    def __init__(self, read: Callable[[], Coroutine[None, None, V]]) -> None:
        self._read = read
        self._begun: asyncio.Task[V] | None = asyncio.create_task(read())

    async def get(self) -> V:
        """What was read. Raises the error of the read."""
        begun, self._begun = self._begun, None
        return await (self._read() if begun is None else begun)

    async def __aenter__(self) -> ReadAhead[V]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun is not None:
            self._begun.cancel()
            await asyncio.gather(self._begun, return_exceptions=True)
