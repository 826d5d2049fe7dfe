"""Renewing one key of a team: at the gateway, then in the vault. `shared.resources.key_slots` decides which,
and when.

When the host dies between the two, the next attempt finds the slot exposed as before, and renews the key once
more; the key in between was never in the vault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.ports import Keys
from shared.resources.actual import SecretVersion
from shared.secret import SecretValue
from shared.stages.apply import Secret, set_secret

KEY = "API key"


async def make_new(app: App, event: Event[TeamMessage], decision: Decision, which: int) -> Keys:
    """Renew a key at the gateway and return both; the old one opens nothing any more.

    No ETag fences that, so the branch is read right before.
    """
    await ensure_branch_unchanged(app, event, decision)
    subscription = names.subscription(event.message.team)
    await app.gateway.regenerate_key(subscription, which)
    return await app.gateway.keys(subscription)


async def publish(
    app: App, team: str, which: int, value: SecretValue, tags: Mapping[str, str]
) -> Sequence[SecretVersion]:
    """Write value, fingerprint and reader in a new version of the secret. Returns all versions, newest first.

    Raises Busy when another host renewed the key meanwhile: the vault may hold the value of either.
    """
    secret, subscription = names.secrets(team)[which], names.subscription(team)
    await set_secret(app, Secret(secret, KEY, value), tags)
    keys, versions = await asyncio.gather(app.gateway.keys(subscription), app.vault.versions(secret))
    newest = next(iter(versions), None)
    if newest is None or newest.tags.get("fingerprint") != keys[which].fingerprint(secret):
        raise Busy(f"another host makes the keys of {team} new")
    return versions
