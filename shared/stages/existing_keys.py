"""Reads the keys of a team as they exist: its subscription, its secrets in the vault, and their readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shared import names
from shared.app import App
from shared.ports import Keys
from shared.resources.actual import RoleGrant, Subscription
from shared.resources.keys import ActualKeys
from shared.resources.plan import UNREAD, Unread


async def read_keys(
    app: App,
    team: str,
    group: str | None,
    *,
    granted_groups: frozenset[str] = frozenset(),
    list_readers: bool = False,
    with_mirror: bool = False,
) -> ActualKeys:
    """Read everything at once. `granted_groups` are groups that a stage may have given the role already.

    `list_readers`: list the role assignments of all secrets. They are the only trace of a delivery that came
    too late and was not finished. Otherwise only those of the request's group are read. `with_mirror`: read
    the subscription that has the keys as bearer tokens.
    """
    secrets = names.secrets(team)
    own = names.subscription(team)
    subscription, mirror, readers, versions = await asyncio.gather(
        app.gateway.subscription(own),
        app.gateway.subscription(names.mirror(own)) if with_mirror else _unread(),
        _all_readers(app, secrets) if list_readers else _granted(app, group),
        asyncio.gather(*(app.vault.versions(secret) for secret in secrets)),
    )
    found = dict(zip(secrets, versions, strict=True))
    return ActualKeys(subscription, found, readers, granted_groups, lists_readers=list_readers, mirror=mirror)


async def read_gateway_keys(
    app: App, team: str, mirror: Subscription | Unread | None
) -> tuple[Keys, Keys | None]:
    """The keys of the team's subscription, and those of its mirror where there is one."""
    own = names.subscription(team)
    if not isinstance(mirror, Subscription):
        return await app.gateway.keys(own), None
    return await asyncio.gather(app.gateway.keys(own), app.gateway.keys(names.mirror(own)))


async def _unread() -> Unread:
    return UNREAD


async def _granted(app: App, group: str | None) -> Mapping[str, frozenset[RoleGrant]]:
    if not group:
        return {}
    return dict.fromkeys(await app.roles.granted(group), frozenset([RoleGrant(group, ours=True)]))


async def _all_readers(app: App, secrets: Sequence[str]) -> Mapping[str, frozenset[RoleGrant]]:
    listed = await app.roles.readers()
    return {secret: listed[secret] for secret in secrets if secret in listed}
