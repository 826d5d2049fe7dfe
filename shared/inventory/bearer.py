"""Reads the API of bearer keys."""

from __future__ import annotations

import asyncio

from shared.errors import Rejected
from shared.names import BEARER_API
from shared.ports import Gateway
from shared.resources.bearer import ActualBearer
from shared.resources.unified_api import KEY_NAMES


async def read_bearer(gateway: Gateway) -> ActualBearer:
    """Two reads, and a third where its contract may have the field of the native way."""
    api, policy = await asyncio.gather(gateway.api(BEARER_API), gateway.api_policy(BEARER_API))
    if api is None or api.key_names != KEY_NAMES:
        return ActualBearer(api, policy)
    return ActualBearer(api, policy, await takes_bearer(gateway))


async def takes_bearer(gateway: Gateway) -> bool:
    """Whether the field was kept. A service that does not know the version does not have it."""
    try:
        return await gateway.takes_bearer(BEARER_API)
    except Rejected:
        return False
