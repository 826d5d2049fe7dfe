"""Delivering keys: the team's subscription, its secrets in the vault, and who may read them.

Nothing here is fenced by the services (a vault has no If-Match), so the pipeline looks at the branch again afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass

from shared.app import App
from shared.apply import Secret, together, write_secret
from shared.domain import names
from shared.domain.actual import SecretVersion, Subscription
from shared.domain.marker import owner_of
from shared.domain.request import AccessRequest
from shared.domain.secret import SecretValue
from shared.errors import Busy, NotManaged, Rejected
from shared.messages import TeamMessage
from shared.outcome import Done, Event, Outcome, worth_saying
from shared.ports import Keys
from shared.standing import Standing, require_unmoved

KEY, ENDPOINT = "API key", "URL"


@dataclass(frozen=True, slots=True)
class Held:
    """What is there: the subscription, the versions of each secret (newest first), the secrets that the group may read; `let_in` are
    all groups that we let in, where that was looked at.
    """

    subscription: Subscription | None
    secrets: Mapping[str, Sequence[SecretVersion]]
    granted: frozenset[str]
    let_in: frozenset[str]

    def newest(self, secret: str) -> SecretVersion | None:
        return next(iter(self.secrets[secret]), None)

    @property
    def readers(self) -> frozenset[str]:
        """The groups that were let in before, by the secrets' own tags too."""
        newest = (self.newest(secret) for secret in self.secrets)
        return self.let_in.union(version.tags["reader"] for version in newest if version is not None and version.tags.get("reader"))


async def observe(app: App, team: str, group: str | None, closely: bool = False) -> Held:
    """Reads everything at once. Raises NotManaged when something of the name is not ours.

    `closely`: who else was let in, too. A delivery that came too late and died has left no other trace.
    """
    held = await observe_secrets(app, team, group, closely)
    if held.subscription is not None and held.subscription.display_name != display_name(app, team):
        raise NotManaged(f"there is a subscription {held.subscription.name} that is not managed by mergekey for {team}")
    return held


async def observe_secrets(app: App, team: str, group: str | None, closely: bool = False) -> Held:
    """The same, whosever the subscription is: what is in the vault can be taken back anyway."""
    secrets = names.secrets(team)
    subscription, (granted, let_in), versions = await asyncio.gather(
        app.gateway.subscription(names.subscription(team)),
        _all_readers(app, secrets, group) if closely else _reader(app, group),
        asyncio.gather(*(app.vault.versions(secret) for secret in secrets)),
    )
    held = Held(subscription, dict(zip(secrets, versions, strict=True)), granted, let_in)
    _require_own_secrets(app, team, held)
    return held


async def _reader(app: App, group: str | None) -> tuple[frozenset[str], frozenset[str]]:
    return (await app.roles.granted(group) if group else frozenset()), frozenset()


async def _all_readers(app: App, secrets: Sequence[str], group: str | None) -> tuple[frozenset[str], frozenset[str]]:
    readers = dict(zip(secrets, await asyncio.gather(*(app.roles.readers_of(secret) for secret in secrets)), strict=True))
    granted = (secret for secret, found in readers.items() if group in {reader.group for reader in found})
    return frozenset(granted), frozenset(reader.group for found in readers.values() for reader in found if reader.ours)


async def deliver(app: App, event: Event[TeamMessage], standing: Standing) -> Outcome:
    """Bring subscription, secrets and readers to what the request says; write only what differs."""
    request = standing.request
    assert request is not None
    held = await observe(app, request.team, request.entra_group, event.closely)
    gone = (held.readers | standing.let_in) - {request.entra_group}
    await together(*(app.roles.revoke(secret, group) for group in gone for secret in held.secrets))
    keys = await _keys(app, event, standing, held, changed_hands=bool(gone))
    wrote = await _write_secrets(app, request, held, keys, standing.commit)
    missing = frozenset(held.secrets) - held.granted if request.entra_group else frozenset()
    await together(*(app.roles.grant(secret, request.entra_group or "") for secret in sorted(missing)))
    changed = wrote or bool(missing or gone or (keys and not event.closely))
    return Done(worth_saying(event, changed, _note(request)), wrote=changed)


def _note(request: AccessRequest) -> str:
    if request.entra_group is None:
        return "keys in vault; nobody may read them yet: add entraGroup"
    return f"keys in vault: {names.primary_key_secret(request.team)}, {names.secondary_key_secret(request.team)}"


async def _keys(app: App, event: Event[TeamMessage], standing: Standing, held: Held, changed_hands: bool) -> Keys | None:
    """The keys if they are needed: from the answer that made or woke the subscription, else asked for. They are needed too where what the
    vault holds shall be compared with them (`event.closely`).
    """
    team, subscription = event.message.team, held.subscription
    name = names.subscription(team)
    if subscription is not None and subscription.state == "active" and subscription.product == names.product(team):
        whole = all(_is_whole(held.newest(secret)) for secret in _key_secrets(team))
        return None if whole and not event.closely else await app.gateway.keys(name)
    if subscription is not None and changed_hands:
        # Whoever could read the old keys is not who may read them now. Nothing fences a new key.
        await require_unmoved(app, event, standing)
        await together(app.gateway.regenerate_key(name, 0), app.gateway.regenerate_key(name, 1))
        subscription = await app.gateway.subscription(name)
    if subscription is not None:
        await require_unmoved(app, event, standing)
    answer = await _put_subscription(app, team, subscription.etag if subscription else None)
    return answer or await app.gateway.keys(name)


async def _put_subscription(app: App, team: str, etag: str | None) -> Keys | None:
    """The keys may have been asked for when the branch said something else, or somebody deleted the product: it comes (back)."""
    given = names.subscription(team), names.product(team), display_name(app, team), etag
    try:
        return await app.gateway.put_subscription(*given)
    except Rejected:
        if await app.gateway.product(names.product(team)) is None:
            raise Busy(f"{team} has no product yet", reason="ProductNotThere") from None
        return await app.gateway.put_subscription(*given)


async def _write_secrets(app: App, request: AccessRequest, held: Held, keys: Keys | None, commit: str) -> bool:
    tags = _tags(app, request, commit)
    secrets = [Secret(names.endpoint_secret(request.team), ENDPOINT, SecretValue(app.platform.gateway_url))]
    if keys is not None:
        secrets += [Secret(name, KEY, value) for name, value in zip(_key_secrets(request.team), keys, strict=True)]
    written = [write_secret(app, secret, held.newest(secret.name), tags) for secret in secrets]
    if keys is None:
        written += [_retag(app, held.newest(secret), tags) for secret in _key_secrets(request.team)]
    return any(await _all(written))


async def _retag(app: App, newest: SecretVersion | None, tags: Mapping[str, str]) -> bool:
    """The value is right and stays; the tags may have to say who reads it now."""
    if newest is None:
        return False
    wanted = {**tags, "fingerprint": newest.tags.get("fingerprint", "")}
    if {**newest.tags, "commit": ""} == {**wanted, "commit": ""}:
        return False
    await app.vault.update(newest, True, wanted)
    return True


async def _all(written: Sequence[Coroutine[None, None, bool]]) -> list[bool]:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in written]
    await together(*tasks)
    return [task.result() for task in tasks]


def _tags(app: App, request: AccessRequest, commit: str) -> dict[str, str]:
    """At most 15 tags of 256 characters; the fingerprint is added with the value."""
    return {
        "managed-by": "mergekey",
        "repository": str(app.platform.repository),
        "team": request.team,
        "commit": commit,
        "reader": request.entra_group or "",
    }


def display_name(app: App, team: str) -> str:
    """A subscription has no description: its display name is where our marker stands."""
    return f"mergekey/{app.platform.repository}/{team}"


def _key_secrets(team: str) -> tuple[str, str]:
    return names.primary_key_secret(team), names.secondary_key_secret(team)


def _is_whole(version: SecretVersion | None) -> bool:
    return version is not None and version.enabled and bool(version.tags.get("fingerprint"))


def _require_own_secrets(app: App, team: str, held: Held) -> None:
    ours = (app.platform.repository, team)
    for secret in held.secrets:
        newest = held.newest(secret)
        if newest is not None and owner_of(newest.tags) != ours:
            raise NotManaged(f"there is a secret {secret} that is not managed by mergekey for {team}: rename or remove it")
