"""The day on which a request's last day came to the branch. A last day that was past already at that time is
taken for a mistake, and ends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.app import App
from shared.branch.review import Review
from shared.branch.states import TeamState
from shared.branch.team_states import already_over_problem
from shared.documents.problem import Problem
from shared.ports import Head

#: Files whose newest commits are looked up at the same time.
CONCURRENCY = 8


async def late_last_days(app: App, found: Iterable[TeamState], reviewed: Review, head: Head) -> list[Problem]:
    """A problem for each request with a new last day that was past already when the file came to the branch.
    It costs one call to GitHub for each request that ended on a new day.
    """
    gate = asyncio.Semaphore(CONCURRENCY)

    async def look(each: TeamState) -> Problem | None:
        assert each.request is not None
        async with gate:
            came = await app.repository.changed_on(each.path, head.commit)
        return None if came is None else already_over_problem(each.path, each.request, came, reviewed)

    new_ends = [each for each in found if each.files == "new_end"]
    return [problem for problem in await asyncio.gather(*map(look, new_ends)) if problem is not None]
