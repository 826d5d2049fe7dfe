"""Conditions as they stand in a status: with the time of their last turn and the generation that was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from standins.kubernetes.gateways.controllers import Row
from standins.kubernetes.kaito import stamp
from standins.kubernetes.kinds import Object

#: What the definitions of Gateway and GatewayClass fill in before any controller has come.
UNSEEN = "1970-01-01T00:00:00Z"
WAITING = ("Unknown", "Pending", "Waiting for controller")


def stamped(rows: Iterable[Row], before: Sequence[Object], generation: int, now: float) -> list[Object]:
    """A condition keeps its time as long as its status stays."""
    since = {(row["type"], row["status"]): row["lastTransitionTime"] for row in before}
    return [
        {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since.get((type_, status)) or stamp(now),
            "observedGeneration": generation,
        }
        for type_, status, reason, message in rows
    ]


def awaited(*types: str) -> list[Object]:
    """The conditions of an object that no controller has seen."""
    status, reason, message = WAITING
    about = {"status": status, "reason": reason, "message": message, "lastTransitionTime": UNSEEN}
    return [{"type": each, **about} for each in types]


def timeless(value: Any) -> Any:
    """A status without the times, to be compared."""
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key != "lastTransitionTime"}
    return [timeless(part) for part in value] if isinstance(value, list) else value
