"""The states of all teams, when those who can tell have been asked: Git about days that are new, the guard
about access that would end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from shared.app import App
from shared.branch.account import Seen
from shared.branch.evaluation import evaluate, read_files
from shared.branch.last_days import slips
from shared.branch.missing_teams import guarded
from shared.branch.review import Baseline, Review, is_read
from shared.branch.states import TeamState
from shared.branch.team_states import BranchFiles, Existing, ending, ends_held, paths_by_team, states
from shared.branch.withdrawal_guard import MissingTeams
from shared.git import Tree
from shared.ports import Head


@dataclass(frozen=True, slots=True)
class Judged:
    """`teams`: the state of each; `reviewed`: the review without what dates or the guard refuse; `absence`:
    what the guard says.
    """

    teams: Mapping[str, TeamState]
    reviewed: Review
    absence: MissingTeams


async def judged(
    app: App, branch: BranchFiles, existing: Existing, teams: Iterable[str], head: Head, today: date
) -> Judged:
    """Of every team with a file, and of these `teams`, which have objects of ours."""
    found = states(branch, existing, teams, today)
    wrong = await slips(app, found.values(), branch.reviewed, head)
    refused = {problem.path for problem in wrong}
    found |= {
        team: replace(each, files="invalid", request=None)
        for team, each in found.items()
        if each.path in refused
    }
    endings = [gone for each in found.values() if (gone := ending(each, today)) is not None]
    absence = (
        await guarded(app, paths_by_team(branch.tree, branch.paths), endings, head)
        if branch.tree
        else MissingTeams()
    )
    reviewed = branch.reviewed.without(wrong)
    return Judged(found, reviewed.without(ends_held(absence.held, absence.allowance, reviewed)), absence)


async def judged_by_products(
    app: App, tree: Tree, head: Head, today: date, in_use: frozenset[str] = frozenset()
) -> Judged:
    """The same from the branch and the products alone: every request is read. `in_use`: teams of which other
    things are known to work.
    """
    places, products = app.paths, await app.gateway.products()
    paths = [path for path in tree if is_read(path, places.requests, places.catalog)]
    files = await read_files(app, paths, tree, await app.repository.archive(head.commit))
    reviewed = await evaluate(app, files, Baseline(today=today), Seen(products))
    existing = Existing(app.platform.repository, {product.name: product for product in products}, in_use)
    teams = [product.marker.team for product in products if product.marker is not None]
    return await judged(
        app, BranchFiles(tree, files, reviewed, places.requests), existing, {*teams, *in_use}, head, today
    )
