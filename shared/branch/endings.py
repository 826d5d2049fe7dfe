"""The states of all teams, after Git was asked when new last days came to the branch, and the guard about
access that would end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared.app import App
from shared.branch.account import KnownObjects
from shared.branch.evaluation import evaluate, files_of
from shared.branch.last_days import late_last_days
from shared.branch.missing_teams import apply_guard
from shared.branch.review import Baseline, Review
from shared.branch.states import TeamState
from shared.branch.team_states import (
    BranchFiles,
    Existing,
    held_end_problems,
    missing_team_of,
    paths_by_team,
    states,
)
from shared.branch.withdrawal_guard import MissingTeams
from shared.git import Tree
from shared.ports import Head
from shared.resources.actual import Product

#: The guard decides by the same list of products for so long, in one handling of a message.
LISTED_FOR = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ListedProducts:
    """All products, as they were listed at this time for a decision about this commit."""

    commit: str
    at: datetime
    products: Sequence[Product]

    def is_usable(self, head: Head, now: datetime) -> bool:
        return head.commit == self.commit and timedelta(0) <= now - self.at < LISTED_FOR

    def with_own(self, name: str, product: Product | None) -> list[Product]:
        """The products, with the team's own as it was read by itself."""
        others = [each for each in self.products if each.name != name]
        return others if product is None else [*others, product]


@dataclass(frozen=True, slots=True)
class EvaluatedTeams:
    """`teams` has the state of each team; `reviewed` is the review without the requests that are refused
    because of their last day or by the guard; `missing_teams` is the guard's decision.
    """

    teams: Mapping[str, TeamState]
    reviewed: Review
    missing_teams: MissingTeams


async def evaluate_teams(
    app: App, branch: BranchFiles, existing: Existing, teams: Iterable[str], head: Head, today: date
) -> EvaluatedTeams:
    """Evaluate every team with a file, and these `teams`, which have objects of ours."""
    found = states(branch, existing, teams, today)
    wrong = await late_last_days(app, found.values(), branch.reviewed, head)
    refused = {problem.path for problem in wrong}
    found |= {
        team: replace(each, files="invalid", request=None)
        for team, each in found.items()
        if each.path in refused
    }
    endings = [gone for each in found.values() if (gone := missing_team_of(each, today)) is not None]
    missing_teams = (
        await apply_guard(app, paths_by_team(branch.tree, branch.paths), endings, head)
        if branch.tree
        else MissingTeams()
    )
    reviewed = branch.reviewed.without(wrong)
    return EvaluatedTeams(
        found,
        reviewed.without(held_end_problems(missing_teams.held, missing_teams.approval, reviewed)),
        missing_teams,
    )


async def evaluate_teams_by_products(
    app: App,
    tree: Tree,
    head: Head,
    today: date,
    products: Sequence[Product],
    in_use: frozenset[str] = frozenset(),
) -> EvaluatedTeams:
    """Evaluate all teams from the branch and the products alone; every request is read. `in_use` are teams
    whose other objects are known to be in use.
    """
    files = await files_of(app, head.commit, tree)
    reviewed = await evaluate(app, files, Baseline(today=today), KnownObjects(products))
    existing = Existing(app.platform.repository, {product.name: product for product in products}, in_use)
    teams = [product.marker.team for product in products if product.marker is not None]
    return await evaluate_teams(
        app, BranchFiles(tree, files, reviewed, app.paths.requests), existing, {*teams, *in_use}, head, today
    )
