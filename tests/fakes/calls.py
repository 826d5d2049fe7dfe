"""What the fakes have in common: every remote call is recorded, and can be stopped before or after it took
effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Call:
    """One remote call: `gateway`, `put_product_policy`, `team-alpha`. `writes` tells whether it changes
    anything out there.

    `fence` is the ETag or resourceVersion that a write carries.
    """

    system: str
    name: str
    target: str
    writes: bool
    fence: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.target}".strip()


Hook = Callable[[Call], Awaitable[None]]


async def nothing(_: Call) -> None:
    """The hook that does nothing."""


class Made:
    """A call as it is made: the body of `async with` is its effect."""

    __slots__ = ("_call", "_calls")

    def __init__(self, calls: Calls, call: Call) -> None:
        self._calls = calls
        self._call = call

    async def __aenter__(self) -> None:
        self._calls.made.append(self._call)
        await self._calls.before(self._call)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self._calls.after(self._call)


@dataclass
class Calls:
    """The calls of all fakes of one app, in the order in which they began.

    `before` and `after` are awaited around the effect of each call: a hook may raise, wait, or let others run
    first.
    """

    before: Hook = nothing
    after: Hook = nothing
    made: list[Call] = field(default_factory=list)

    def read(self, system: str, name: str, target: str = "") -> Made:
        return Made(self, Call(system, name, target, writes=False))

    def write(self, system: str, name: str, target: str = "", fence: str | None = None) -> Made:
        return Made(self, Call(system, name, target, writes=True, fence=fence))

    def writes(self, *systems: str) -> list[str]:
        """The writes so far, as text: of these systems, or of all but the bus and the reports."""
        wanted = systems or ("gateway", "vault", "roles", "cluster", "projects")
        return [str(call) for call in self.made if call.writes and call.system in wanted]

    def names(self, system: str) -> list[str]:
        """The names of all calls to one system, reads too."""
        return [call.name for call in self.made if call.system == system]

    def forget(self) -> None:
        self.made.clear()
