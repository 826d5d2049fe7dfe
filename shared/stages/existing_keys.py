"""What is there of a team's keys: its subscription, its secrets in the vault, and who may read them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared import names
from shared.app import App
from shared.errors import NotManaged
from shared.marker import owner_of, reader_of
from shared.ports import Keys
from shared.resources.actual import SecretVersion, Subscription
from shared.resources.key_slots import EXPOSED, Slot
from shared.stages.ownership import display_name


@dataclass(frozen=True, slots=True)
class ExistingKeys:
    """What is there: the subscription, the versions of each secret (newest first), the secrets that the group
    may read; `let_in` are all groups that we let in, by secret, where that was looked at.
    """

    subscription: Subscription | None
    secrets: Mapping[str, Sequence[SecretVersion]]
    granted: frozenset[str]
    let_in: Mapping[str, frozenset[str]]

    def newest(self, secret: str) -> SecretVersion | None:
        return next(iter(self.secrets[secret]), None)

    @property
    def readers(self) -> frozenset[str]:
        """The groups that were let in before, by the secrets' own tags too. Whom a marked one names has lost
        the role already, or is about to: then the roles tell.
        """
        newest = (self.newest(secret) for secret in self.secrets)
        named = [
            reader_of(version.tags)
            for version in newest
            if version is not None and EXPOSED not in version.tags
        ]
        return frozenset(reader for reader in named if reader).union(*self.let_in.values())

    def slots(self, team: str, keys: Keys | None = None) -> tuple[Slot, ...]:
        """The two keys, primary first; with what the gateway takes where that was asked."""
        return tuple(
            Slot.of(self.secrets[name], None if keys is None else keys[which].fingerprint(name))
            for which, name in enumerate(names.key_secrets(team))
        )


async def observe(app: App, team: str, group: str | None, closely: bool = False) -> ExistingKeys:
    """Reads everything at once. Raises NotManaged when something of the name is not ours.

    `closely`: who else was let in, too. A delivery that came too late and died has left no other trace.
    """
    held = await observe_secrets(app, team, group, closely)
    if held.subscription is not None and held.subscription.display_name != display_name(app, team):
        raise NotManaged(
            f"there is a subscription {held.subscription.name} that is not managed by mergekey for {team}"
        )
    return held


async def observe_secrets(app: App, team: str, group: str | None, closely: bool = False) -> ExistingKeys:
    """The same, whosever the subscription is: what is in the vault can be taken back anyway."""
    secrets = names.secrets(team)
    subscription, (granted, let_in), versions = await asyncio.gather(
        app.gateway.subscription(names.subscription(team)),
        _all_readers(app, secrets, group) if closely else _reader(app, group),
        asyncio.gather(*(app.vault.versions(secret) for secret in secrets)),
    )
    held = ExistingKeys(subscription, dict(zip(secrets, versions, strict=True)), granted, let_in)
    _require_own_secrets(app, team, held)
    return held


async def _reader(app: App, group: str | None) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    return (await app.roles.granted(group) if group else frozenset()), {}


async def _all_readers(
    app: App, secrets: Sequence[str], group: str | None
) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    readers = dict(
        zip(secrets, await asyncio.gather(*(app.roles.readers_of(secret) for secret in secrets)), strict=True)
    )
    granted = (secret for secret, found in readers.items() if group in {reader.group for reader in found})
    let_in = {
        secret: frozenset(reader.group for reader in found if reader.ours)
        for secret, found in readers.items()
    }
    return frozenset(granted), let_in


def _require_own_secrets(app: App, team: str, held: ExistingKeys) -> None:
    ours = (app.platform.repository, team)
    for secret in held.secrets:
        newest = held.newest(secret)
        if newest is not None and owner_of(newest.tags) != ours:
            raise NotManaged(
                f"there is a secret {secret} that is not managed by mergekey for {team}: rename or remove it"
            )
