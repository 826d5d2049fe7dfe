"""A plan as its tests read it."""

from __future__ import annotations

from shared.resources.plan import Plan


def steps_of(plan: Plan) -> list[list[str]]:
    """What each step changes, in words, sorted: changes of one step are made at once."""
    return [sorted(str(Plan(((change,),))) for change in step) for step in plan.steps]
