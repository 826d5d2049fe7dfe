"""How much an instance of a tier may hold. Beyond it the service refuses to create another one.

https://learn.microsoft.com/azure/api-management/service-limits (limits of 2026; those of the classic tiers
are the same as those of v2)
"""

from __future__ import annotations

from collections.abc import Mapping

from standins.resource_manager.arm import ArmError
from standins.resource_manager.state import Resources, State

_KINDS = ("products", "subscriptions", "operations", "named_values", "loggers")
_LARGEST: Mapping[str, tuple[int, ...]] = {
    "Developer": (100, 10_000, 3_000, 5_000, 100),
    "Basic": (200, 15_000, 10_000, 5_000, 100),
    "Standard": (500, 25_000, 50_000, 10_000, 200),
    "Premium": (2_000, 75_000, 75_000, 18_000, 400),
}
#: Tier -> kind (an attribute of `State`) -> how many of it an instance holds at most.
CEILINGS: Mapping[str, Mapping[str, int]] = {
    name: dict(zip(_KINDS, numbers, strict=True))
    for tier, numbers in _LARGEST.items()
    for name in ([tier] if tier == "Developer" else [tier, f"{tier}V2"])
}


def check_room(state: State, kind: str, service: str, more: int = 1) -> None:
    """400 when so many more of the kind would be too many. The documentation names the numbers, not the
    error: its code is assumed.
    """
    resources: Resources = getattr(state, kind)
    tier = state.options["tier"]
    ceiling = CEILINGS[tier][kind]
    if len(resources.under(service)) + more > ceiling:
        message = f"The {tier} tier is limited to {ceiling} {kind.replace('_', ' ')}."
        raise ArmError(400, "ValidationError", message)
