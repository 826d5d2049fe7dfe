"""What the fakes have in common: every remote call is recorded, and can be stopped before or after it took effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One remote call: `gateway`, `put_product_policy`, `team-alpha`. `writes` tells whether it changes anything out there."""

    system: str
    name: str
    target: str
    writes: bool

    def __str__(self) -> str:
        return f"{self.name} {self.target}".strip()


Hook = Callable[[Call], Awaitable[None]]


async def nothing(_: Call) -> None:
    """The hook that does nothing."""


@dataclass
class Calls:
    """The calls of all fakes of one app, in the order in which they began.

    `before` and `after` are awaited around the effect of each call: a hook may raise, wait, or let others run first.
    """

    before: Hook = nothing
    after: Hook = nothing
    made: list[Call] = field(default_factory=list)

    @asynccontextmanager
    async def read(self, system: str, name: str, target: str = "") -> AsyncIterator[None]:
        """The body is the effect."""
        async with self._call(Call(system, name, target, writes=False)):
            yield

    @asynccontextmanager
    async def write(self, system: str, name: str, target: str = "") -> AsyncIterator[None]:
        """The body is the effect."""
        async with self._call(Call(system, name, target, writes=True)):
            yield

    @asynccontextmanager
    async def _call(self, call: Call) -> AsyncIterator[None]:
        self.made.append(call)
        await self.before(call)
        yield
        await self.after(call)

    def writes(self, *systems: str) -> list[str]:
        """The writes so far, as text: of these systems, or of all but the bus and the reports."""
        wanted = systems or ("gateway", "vault", "roles", "cluster")
        return [str(call) for call in self.made if call.writes and call.system in wanted]

    def names(self, system: str) -> list[str]:
        """The names of all calls to one system, reads too."""
        return [call.name for call in self.made if call.system == system]

    def forget(self) -> None:
        self.made.clear()
