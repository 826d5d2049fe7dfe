"""Reads the keys of a team as they exist: its subscription, its secrets in the vault, and their readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shared import names
from shared.app import App
from shared.resources.actual import RoleGrant
from shared.resources.keys import ActualKeys


async def read_keys(
    app: App,
    team: str,
    group: str | None,
    *,
    granted_groups: frozenset[str] = frozenset(),
    list_readers: bool = False,
) -> ActualKeys:
    """Read everything at once. `granted_groups` are groups that a stage may have given the role already.

    `list_readers`: list the role assignments of all secrets. They are the only trace of a delivery that came
    too late and was not finished. Otherwise only those of the request's group are read.
    """
    secrets = names.secrets(team)
    subscription, readers, versions = await asyncio.gather(
        app.gateway.subscription(names.subscription(team)),
        _all_readers(app, secrets) if list_readers else _granted(app, group),
        asyncio.gather(*(app.vault.versions(secret) for secret in secrets)),
    )
    found = dict(zip(secrets, versions, strict=True))
    return ActualKeys(subscription, found, readers, granted_groups, lists_readers=list_readers)


async def _granted(app: App, group: str | None) -> Mapping[str, frozenset[RoleGrant]]:
    if not group:
        return {}
    return dict.fromkeys(await app.roles.granted(group), frozenset([RoleGrant(group, ours=True)]))


async def _all_readers(app: App, secrets: Sequence[str]) -> Mapping[str, frozenset[RoleGrant]]:
    listed = await app.roles.readers()
    return {secret: listed[secret] for secret in secrets if secret in listed}
