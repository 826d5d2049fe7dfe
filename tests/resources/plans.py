"""A plan as its tests read it."""

from __future__ import annotations

from shared.resources.plan import Plan, describe


def steps_of(plan: Plan) -> list[list[str]]:
    """What each step changes, in words, sorted: changes of one step are made at once."""
    return [sorted(map(describe, step)) for step in plan.steps]
