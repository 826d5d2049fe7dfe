"""The keys of a team as they exist: its subscription, its secrets in the vault, and who may read them."""

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
from shared.stages.ownership import is_own_subscription


@dataclass(frozen=True, slots=True)
class ExistingKeys:
    """The subscription, and the versions of each secret, newest first.

    `granted`: the secrets that the request's group may read. `granted_groups`: by secret, all groups to which
    we granted a role, where the role assignments were listed.
    """

    subscription: Subscription | None
    secrets: Mapping[str, Sequence[SecretVersion]]
    granted: frozenset[str]
    granted_groups: Mapping[str, frozenset[str]]

    def newest(self, secret: str) -> SecretVersion | None:
        return next(iter(self.secrets[secret]), None)

    @property
    def readers(self) -> frozenset[str]:
        """The groups that have or had a role, by the role assignments and by the tags of the secrets.

        The tag of an exposed secret does not count: its group has lost the role, or the role assignments
        say so.
        """
        newest = (self.newest(secret) for secret in self.secrets)
        named = [
            reader_of(version.tags)
            for version in newest
            if version is not None and EXPOSED not in version.tags
        ]
        return frozenset(reader for reader in named if reader).union(*self.granted_groups.values())

    def slots(self, team: str, keys: Keys | None = None) -> tuple[Slot, ...]:
        """The two keys, primary first; with the fingerprints of the gateway's keys where those are given."""
        return tuple(
            Slot.of(self.secrets[name], None if keys is None else keys[which].fingerprint(name))
            for which, name in enumerate(names.key_secrets(team))
        )


async def observe(app: App, team: str, group: str | None, *, list_readers: bool = False) -> ExistingKeys:
    """Read everything at once. Raises NotManaged when the subscription or a secret is not ours.

    `list_readers`: read the role assignments of each secret too. They are the only trace of a delivery that
    came too late and was not finished.
    """
    existing = await observe_secrets(app, team, group, list_readers=list_readers)
    subscription = existing.subscription
    if subscription is not None and not is_own_subscription(app, team, subscription):
        raise NotManaged(
            f"there is a subscription {subscription.name} that is not managed by mergekey for {team}"
        )
    return existing


async def observe_secrets(
    app: App, team: str, group: str | None, *, list_readers: bool = False
) -> ExistingKeys:
    """Like `observe`, for a subscription of any owner: secrets can be taken away in any case."""
    secrets = names.secrets(team)
    subscription, (granted, granted_groups), versions = await asyncio.gather(
        app.gateway.subscription(names.subscription(team)),
        _all_readers(app, secrets, group) if list_readers else _granted(app, group),
        asyncio.gather(*(app.vault.versions(secret) for secret in secrets)),
    )
    existing = ExistingKeys(subscription, dict(zip(secrets, versions, strict=True)), granted, granted_groups)
    _require_own_secrets(app, team, existing)
    return existing


async def _granted(app: App, group: str | None) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    return (await app.roles.granted(group) if group else frozenset()), {}


async def _all_readers(
    app: App, secrets: Sequence[str], group: str | None
) -> tuple[frozenset[str], Mapping[str, frozenset[str]]]:
    listed = await asyncio.gather(*(app.roles.readers_of(secret) for secret in secrets))
    readers = dict(zip(secrets, listed, strict=True))
    granted = (secret for secret, found in readers.items() if group in {reader.group for reader in found})
    granted_groups = {
        secret: frozenset(reader.group for reader in found if reader.ours)
        for secret, found in readers.items()
    }
    return frozenset(granted), granted_groups


def _require_own_secrets(app: App, team: str, existing: ExistingKeys) -> None:
    for secret in existing.secrets:
        newest = existing.newest(secret)
        if newest is not None and owner_of(newest.tags) != (app.platform.repository, team):
            raise NotManaged(
                f"there is a secret {secret} that is not managed by mergekey for {team}: rename or remove it"
            )
