"""Answers kept by the meaning of their prompts: vectors compared by their angle, within one partition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from multidict import CIMultiDict

from standins.clock import Clock
from standins.gateway.exchange import Response


@dataclass(frozen=True)
class Place:
    """Where an answer is kept, or looked for: the values that it varies by, and the prompt's vector."""

    partition: tuple[str, ...]
    vector: tuple[float, ...]


@dataclass(frozen=True)
class _Kept:
    place: Place
    ends: float
    body: bytes
    content_type: str


class SemanticCache:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: list[_Kept] = []

    def find(self, place: Place, distance: float) -> Response | None:
        """The nearest answer that is not farther; 0 is the same meaning, 1 has nothing in common."""
        now = self._clock.now()
        self._kept = [kept for kept in self._kept if kept.ends > now]
        near = [
            (_distance(kept.place.vector, place.vector), kept)
            for kept in self._kept
            if kept.place.partition == place.partition
        ]
        best = min(near, key=lambda each: each[0], default=None)
        if best is None or best[0] > distance:
            return None
        return Response(200, CIMultiDict({"Content-Type": best[1].content_type}), best[1].body)

    def keep(self, place: Place, answer: Response, seconds: float) -> None:
        content_type = answer.headers.get("Content-Type", "application/json")
        self._kept.append(_Kept(place, self._clock.now() + seconds, answer.body, content_type))

    def forget(self) -> None:
        self._kept.clear()


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return 1.0 - (sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0)
