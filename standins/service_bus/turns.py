"""Operations that may take their time, one after the other: a slow link keeps its order and holds up no other
link.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")
#: An operation. It yields after how many seconds, counted from when it was asked for, it wants to go on; most
#: never yield.
Steps = Generator[float, None, Result]


class ConnectionDropped(Exception):
    """An injected fault: the connection closes without an answer."""


class InTurn:
    """What one link was asked for. Real time, not that of the movable clock: this is how slow the service is.

    What waits does not hold up what comes after it longer than itself: each counts from when it came. `drop`
    ends the connection.
    """

    def __init__(self, drop: Callable[[], None]) -> None:
        self._drop = drop
        self._waiting: deque[tuple[float, Steps[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, steps: Steps[None]) -> None:
        """Do it, at once if nothing is slow."""
        self._waiting.append((time.perf_counter(), steps))
        if len(self._waiting) == 1:
            self._advance()

    def stop(self) -> None:
        """The link is gone: what has not happened yet does not happen."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _advance(self) -> None:
        while self._waiting:
            came, steps = self._waiting[0]
            try:
                left = came + next(steps) - time.perf_counter()
            except StopIteration:
                # Nothing is left to be taken away when the operation itself ended its link.
                if self._waiting:
                    self._waiting.popleft()
                continue
            except ConnectionDropped:
                self._drop()
                return
            if left > 0:
                self._timer = asyncio.get_running_loop().call_later(left, self._advance)
                return
