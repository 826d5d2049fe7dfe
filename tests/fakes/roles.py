"""Role assignments in memory."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.calls import Calls


class FakeRoles:
    """`assigned` holds pairs of secret and Entra group."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.assigned: set[tuple[str, str]] = set()

    async def granted(self, group: str) -> frozenset[str]:
        async with self._calls.read("roles", "granted", group):
            return frozenset(secret for secret, reader in self.assigned if reader == group)

    async def readers(self) -> Mapping[str, frozenset[str]]:
        async with self._calls.read("roles", "readers"):
            secrets = {secret for secret, _ in self.assigned}
            return {secret: frozenset(group for each, group in self.assigned if each == secret) for secret in secrets}

    async def grant(self, secret: str, group: str) -> None:
        async with self._calls.write("roles", "grant", f"{secret} {group}"):
            self.assigned.add((secret, group))

    async def revoke(self, secret: str, group: str) -> None:
        async with self._calls.write("roles", "revoke", f"{secret} {group}"):
            self.assigned.discard((secret, group))
