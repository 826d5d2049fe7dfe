"""Roads that fail, or cannot be asked, for a while: by a chance of their own, so that a story is the same
otherwise.
"""

from __future__ import annotations

from random import Random

from shared.gateway_api.road import NotReached, RoadAnswer, Unserved
from tests.simulation.scene import Scene

#: Seconds for which a road does the same, and how often it fails, or is not reached.
SPELL, FAILS, IS_LOST = 600.0, 0.3, 0.15


class RoadTrouble:
    """What a road answers in place of the usual, by namespace and name."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __call__(self, name: str) -> RoadAnswer | None:
        spell = int(self._scene.loop.time() // SPELL)
        drawn = Random(f"{self._scene.seed} {name} {spell}").random()
        if drawn >= FAILS + IS_LOST:
            return None
        kind = "a road fails" if drawn < FAILS else "a road is not reached"
        self._scene.counts[f"fault: {kind}"] += 1
        return Unserved(404) if drawn < FAILS else NotReached("no connection")
