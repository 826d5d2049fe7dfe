"""When the last day of a request came to the branch: one that was past already is a slip of the pen, and ends
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shared.app import App
from shared.branch.review import Review
from shared.branch.states import TeamState
from shared.branch.team_states import already_over
from shared.documents.problem import Problem
from shared.ports import Head

#: Files whose newest commits are looked up at the same time.
AT_ONCE = 8


async def slips(app: App, found: Iterable[TeamState], reviewed: Review, head: Head) -> list[Problem]:
    """One for each request that ends on a new day, which was past when the file came to the branch. One call
    each, for these alone.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(each: TeamState) -> Problem | None:
        assert each.request is not None
        async with gate:
            came = await app.repository.changed_on(each.path, head.commit)
        return None if came is None else already_over(each.path, each.request, came, reviewed)

    new_ends = [each for each in found if each.files == "new_end"]
    return [problem for problem in await asyncio.gather(*map(look, new_ends)) if problem is not None]
