"""Mirrors of subscriptions: the same keys as bearer tokens, for a gateway that reads `Authorization`.

A mirror's keys are derived: they are written after the subscription's, and compared with them once more, so
that of two hosts which renew a key at once the later one's is in the mirror. Renewing writes keys alone, so
that the mirror of a team that was withdrawn meanwhile stays suspended.
"""

from __future__ import annotations

from shared import names
from shared.errors import Busy
from shared.ports import Gateway, Keys
from shared.resources.keys import are_mirrored

#: How often the keys are written anew when they change meanwhile.
MAX_ROUNDS = 3


def as_bearer(keys: Keys) -> Keys:
    return keys[0].as_bearer(), keys[1].as_bearer()


async def put_mirror(
    gateway: Gateway, subscription: str, product: str, display_name: str, etag: str | None, *, keys: Keys
) -> None:
    """Create the mirror, or make it active again, with these keys of its subscription."""
    await gateway.put_subscription(names.mirror(subscription), product, display_name, etag, as_bearer(keys))
    await _compare(gateway, subscription, keys)


async def renew_mirror(gateway: Gateway, subscription: str, keys: Keys) -> None:
    """Write the keys of its subscription into the mirror."""
    await gateway.put_keys(names.mirror(subscription), as_bearer(keys))
    await _compare(gateway, subscription, keys)


async def _compare(gateway: Gateway, subscription: str, written: Keys) -> None:
    """Raises Busy while other hosts go on renewing the keys."""
    for _ in range(MAX_ROUNDS):
        keys = await gateway.keys(subscription)
        if are_mirrored(keys, as_bearer(written)):
            return
        await gateway.put_keys(names.mirror(subscription), as_bearer(keys))
        written = keys
    raise Busy(f"another host makes the keys of {subscription} new")
