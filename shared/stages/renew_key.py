"""Making one key of a team new: at the gateway, then in the vault. Which, and when,
`shared.resources.key_slots` says.

Killed between the two, whoever comes next finds the slot exposed as before, and makes one more key that
nobody has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.secret import SecretValue
from shared.stages.apply import Secret, set_secret

KEY = "API key"


async def make_new(app: App, event: Event[TeamMessage], decision: Decision, which: int) -> SecretValue:
    """From here on the old key opens nothing. Nothing fences a new key: the branch is asked right before."""
    await ensure_branch_unchanged(app, event, decision)
    subscription = names.subscription(event.message.team)
    await app.gateway.regenerate_key(subscription, which)
    return (await app.gateway.keys(subscription))[which]


async def publish(app: App, team: str, which: int, value: SecretValue, tags: Mapping[str, str]) -> None:
    """Value, fingerprint and reader in one write. Raises Busy when another host made the key new meanwhile:
    whose value stands in the vault, nobody knows.
    """
    secret, subscription = names.secrets(team)[which], names.subscription(team)
    await set_secret(app, Secret(secret, KEY, value), tags)
    keys, versions = await asyncio.gather(app.gateway.keys(subscription), app.vault.versions(secret))
    newest = next(iter(versions), None)
    if newest is None or newest.tags.get("fingerprint") != keys[which].fingerprint(secret):
        raise Busy(f"another host makes the keys of {team} new")
