"""How many requests Resource Manager takes: a token bucket for each subscription, principal and kind of
request.

https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling: reads 250
and 25 more a second, writes and deletes 200 and 10 more a second; all principals of a subscription together
have 15 times as much. Requests outside a subscription are counted for the tenant. Nothing is kept: a restart
fills the buckets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from standins.clock import Clock
from standins.resource_manager.arm import ArmError

Kind = Literal["reads", "writes", "deletes"]
#: What a bucket holds, and what it gains in a second.
LIMITS: Mapping[Kind, tuple[int, int]] = {"reads": (250, 25), "writes": (200, 10), "deletes": (200, 10)}
_TOGETHER = 15
_VERBS: Mapping[str, Kind] = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}


@dataclass
class _Bucket:
    capacity: int
    rate: int
    tokens: float
    filled: float
    refused_until: float = 0.0

    def take(self, now: float) -> int:
        """0 and one token less, or the seconds until there is one again."""
        self.tokens = min(self.capacity, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if now < self.refused_until:
            # tokens or not: who does not wait is refused, and told to wait anew
            return math.ceil(self.refused_until - now)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0
        wait = math.ceil((1 - self.tokens) / self.rate)
        self.refused_until = now + wait
        return wait


class Throttle:
    """The buckets of one Resource Manager."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str, Kind], _Bucket] = {}

    def count(self, method: str, subscription: str | None, principal: str) -> dict[str, str]:
        """Count a request, and answer the headers that say how many are left. Raises 429 with Retry-After
        when none was.
        """
        kind = _VERBS.get(method, "writes")
        place = f"subscription-{kind}" if subscription else f"tenant-{kind}"
        own = self._bucket(subscription or "", principal, kind)
        together = self._bucket(subscription or "", "", kind)
        if wait := own.take(self._clock.now()) or together.take(self._clock.now()):
            raise _too_many(kind, subscription, principal, wait)
        left = {f"x-ms-ratelimit-remaining-{place}": str(int(own.tokens))}
        return left | (
            {f"x-ms-ratelimit-remaining-subscription-global-{kind}": str(int(together.tokens))}
            if subscription
            else {}
        )

    def _bucket(self, subscription: str, principal: str, kind: Kind) -> _Bucket:
        key = (subscription, principal, kind)
        if key not in self._buckets:
            capacity, rate = (number * (1 if principal else _TOGETHER) for number in LIMITS[kind])
            self._buckets[key] = _Bucket(capacity, rate, capacity, self._clock.now())
        return self._buckets[key]


def _too_many(kind: Kind, subscription: str | None, principal: str, wait: int) -> ArmError:
    where = f"subscription '{subscription}'" if subscription else "tenant"
    message = (
        f"Number of '{kind.removesuffix('s')}' requests for {where} actor '{principal}' exceeded. Please try "
        f"again after '{wait}' seconds after additional tokens are available. Refer to "
        "https://aka.ms/arm-throttling for additional information."
    )
    code = "SubscriptionRequestsThrottled" if subscription else "TenantRequestsThrottled"
    return ArmError(429, code, message, headers={"Retry-After": str(wait)})
