"""A plan as its tests read it."""

from __future__ import annotations

from shared.domain.plan import Plan


def steps_of(plan: Plan) -> list[list[str]]:
    return [sorted(str(Plan(((change,),))) for change in step) for step in plan.steps]
