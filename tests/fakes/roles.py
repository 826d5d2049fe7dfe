"""Role assignments in memory."""

from __future__ import annotations

from collections.abc import Mapping

from shared.resources.actual import RoleGrant
from tests.fakes.calls import Calls


class FakeRoles:
    """`assigned` holds pairs of secret (or project) and Entra group; `by_others` those that were not made by
    us.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.assigned: set[tuple[str, str]] = set()
        self.by_others: set[tuple[str, str]] = set()

    async def granted(self, group: str) -> frozenset[str]:
        async with self._calls.read("roles", "granted", group):
            return frozenset(
                secret.lower() for secret, reader in self.assigned | self.by_others if reader == group
            )

    async def readers(self) -> Mapping[str, frozenset[RoleGrant]]:
        async with self._calls.read("roles", "readers"):
            return self._by_name()

    async def readers_of(self, name: str) -> frozenset[RoleGrant]:
        async with self._calls.read("roles", "readers_of", name):
            return self._by_name().get(name.lower(), frozenset())

    def _by_name(self) -> dict[str, frozenset[RoleGrant]]:
        """Names are compared without regard to case, as the service does."""
        found: dict[str, set[RoleGrant]] = {}
        for assigned, ours in ((self.assigned, True), (self.by_others, False)):
            for name, group in assigned:
                found.setdefault(name.lower(), set()).add(RoleGrant(group, ours))
        return {name: frozenset(readers) for name, readers in found.items()}

    async def grant(self, name: str, group: str) -> None:
        async with self._calls.write("roles", "grant", f"{name} {group}"):
            _require_encodable(name, group)
            if (name, group) not in self.by_others:
                self.assigned.add((name, group))

    async def revoke(self, name: str, group: str) -> None:
        async with self._calls.write("roles", "revoke", f"{name} {group}"):
            _require_encodable(name, group)
            self.assigned.discard((name, group))


def _require_encodable(*texts: str) -> None:
    """Assignments are named by a hash of these; what has no bytes has none, and that is no error of ours."""
    for text in texts:
        text.encode()
