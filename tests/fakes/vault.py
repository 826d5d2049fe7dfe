"""A Key Vault in memory: versions, tags, soft deletion with a recovery that takes its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.errors import Busy, Rejected, Unavailable
from shared.ports import Clock
from shared.resources.actual import SecretVersion
from shared.secret import SecretValue
from tests.fakes.calls import Calls


@dataclass
class Kept:
    """One secret: its versions, newest first, and their values by version. `back` is when its recovery is
    done.
    """

    versions: list[SecretVersion] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    deleted: bool = False
    back: datetime | None = None


class FakeVault:
    """`recovery` is how long the vault takes to bring a deleted secret back."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self.recovery = timedelta(0)
        self.kept: dict[str, Kept] = {}

    def value(self, name: str) -> str | None:
        """What a reader gets; None when there is no such secret or its newest version is disabled."""
        kept = self._standing(name)
        if kept is None or not kept.versions[0].enabled:
            return None
        return kept.values[kept.versions[0].version]

    def names(self) -> list[str]:
        """The secrets that are not deleted."""
        return sorted(name for name in self.kept if self._standing(name) is not None)

    async def versions(self, name: str) -> list[SecretVersion]:
        async with self._calls.read("vault", "versions", name):
            kept = self._standing(name)
            return [] if kept is None else list(kept.versions)

    async def newest(self) -> list[SecretVersion]:
        """Lists do not tell versions."""
        async with self._calls.read("vault", "newest"):
            return [replace(self.kept[name].versions[0], version="") for name in self.names()]

    async def set(self, name: str, value: SecretValue, content_type: str, tags: Mapping[str, str]) -> None:
        async with self._calls.write("vault", "set", name):
            kept = self._deleted(name) or self.kept.setdefault(name, Kept())
            if kept.deleted:
                raise Busy(
                    f"{name} is deleted but recoverable",
                    reason="SecretIsDeleted",
                    retry_after=timedelta(seconds=5),
                )
            if self._is_away(kept):
                raise Busy(f"{name} is being recovered")
            _require_room(tags)
            # Dates are whole seconds; two versions within one second still have dates in their order.
            created = max(
                [
                    self._clock.now(),
                    *(version.created + timedelta(seconds=1) for version in kept.versions[:1]),
                ]
            )
            version = SecretVersion(name, f"{len(kept.versions):032x}", True, created, dict(tags))
            kept.versions.insert(0, version)
            kept.values[version.version] = value.reveal()

    async def recover(self, name: str) -> None:
        async with self._calls.write("vault", "recover", name):
            kept = self.kept.get(name)
            if kept is None or not kept.deleted:
                raise Unavailable(f"there is no deleted secret {name}", reason="NotFound")
            kept.deleted, kept.back = False, self._clock.now() + self.recovery

    async def deleted_tags(self, name: str) -> Mapping[str, str] | None:
        async with self._calls.read("vault", "deleted_tags", name):
            kept = self._deleted(name)
            return None if kept is None else dict(kept.versions[0].tags)

    async def update(self, version: SecretVersion, enabled: bool, tags: Mapping[str, str]) -> None:
        async with self._calls.write("vault", "update", version.name):
            _require_room(tags)
            kept = self._standing(version.name)
            numbers = [known.version for known in kept.versions] if kept else []
            if kept is None or version.version not in numbers:
                raise Unavailable(f"there is no secret {version.name} {version.version}", reason="NotFound")
            index = numbers.index(version.version)
            kept.versions[index] = replace(kept.versions[index], enabled=enabled, tags=dict(tags))

    async def delete(self, name: str) -> None:
        async with self._calls.write("vault", "delete", name):
            kept = self._standing(name)
            if kept is not None:
                kept.deleted = True

    def _standing(self, name: str) -> Kept | None:
        kept = self.kept.get(name)
        return None if kept is None or self._is_away(kept) or not kept.versions else kept

    def _deleted(self, name: str) -> Kept | None:
        """Names are compared without regard to case."""
        return next(
            (kept for known, kept in self.kept.items() if kept.deleted and known.lower() == name.lower()),
            None,
        )

    def _is_away(self, kept: Kept) -> bool:
        return kept.deleted or (kept.back is not None and self._clock.now() < kept.back)


def _require_room(tags: Mapping[str, str]) -> None:
    if len(tags) > 15:
        raise Rejected("Key Vault answered 400: BadParameter: more than 15 tags")
