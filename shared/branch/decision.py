"""The decision about one team, made from what the protected branch says now. A message is only a hint; stages
act on this decision.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from shared import names
from shared.app import App
from shared.branch.endings import ListedProducts, evaluate_teams_by_products
from shared.branch.evaluation import REGULAR, evaluate_all, files_of, read_files
from shared.branch.last_days import late_last_days
from shared.branch.missing_teams import is_in_use, markers_of
from shared.branch.platform_checks import platform_check, read_supported_catalog
from shared.branch.repository_state import request_paths_of
from shared.branch.review import BEYOND_WHAT_IS_LEFT, Baseline, read, review
from shared.branch.states import SOON, TeamState
from shared.branch.team_states import BranchFiles, Existing, missing_team_of, state
from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.errors import Busy, Rejected, Unavailable
from shared.git import Entry, Tree
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.ports import Head, Repository
from shared.requests.request import AccessRequest
from shared.resources.actual import Product
from shared.resources.desired import compile_gateway


@dataclass(frozen=True, slots=True)
class Decision:
    """The team's cell of the table of states (`shared.branch.states`), after the guard was asked.

    - `active`: provision what the request says; `request` and `catalog` are set. For the catalogue, `catalog`
      is set.
    - `ended`: the access is over; the team's objects are deleted when its grace period has ended.
    - `held`: the guard keeps the access until a person approves that it ends.
    - `stale`: the branch has moved on, or its content is not valid: the message changes nothing.

    `granted_groups` are the groups to which the same stage may have granted roles just before, when the
    branch said something else. `in_doubt` is set while the branch or its catalogue cannot be read: expired
    access ends, and nothing is deleted. `listed` are the products by which the guard decided.
    """

    kind: Literal["active", "ended", "held", "stale"]
    commit: str = ""
    path: str = ""
    blobs: tuple[str, ...] = ()
    request: AccessRequest | None = None
    catalog: Catalog | None = None
    granted_groups: frozenset[str] = frozenset()
    in_doubt: bool = False
    tree: Tree = field(default_factory=dict, compare=False, repr=False)
    listed: ListedProducts | None = field(default=None, compare=False, repr=False)

    def after(self, before: Decision) -> Decision:
        """The same decision, with the groups that an earlier attempt of the same stage may have granted."""
        group = before.request.entra_group if before.request else None
        return replace(self, granted_groups=before.granted_groups | ({group} if group else set()))

    def equivalent_to(self, other: Decision) -> bool:
        """Whether both lead to the same actions; the commit alone does not matter."""
        return (self.kind, self.path, self.blobs) == (other.kind, other.path, other.blobs)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The message, the time of the decision, and the branch at that time. Without a branch there is no head,
    and the tree is empty.

    `unlisted` is the error for which the tree is empty although there is a branch. `listed` are the products
    of the decision before, and `product` is the team's own, where it was read.
    """

    message: TeamMessage
    now: datetime
    tree: Tree
    head: Head | None
    unlisted: Rejected | None = None
    listed: ListedProducts | None = None
    product: Product | None = None

    @property
    def today(self) -> date:
        return self.now.date()


async def decide(app: App, message: TeamMessage, now: datetime, before: Decision | None = None) -> Decision:
    """Decide what a stage does for the message's team. It costs one conditional request to GitHub while the
    branch has not moved; otherwise a tree and the blobs that are not cached. `before` is the decision with
    which the same handling of the message compares this one.
    """
    head = await app.repository.head()
    if message.team == CATALOG_TEAM:
        return (
            Decision("stale")
            if head is None
            else await _decide_catalog(app, now, await tree_of(app.repository, head), head)
        )
    lookup = replace(await _look_up(app, message, now, head), listed=before.listed if before else None)
    decision = await _decide_from_files(app, lookup) or await _decide_by_table(app, lookup)
    if lookup.unlisted is not None and decision.kind == "stale":
        raise lookup.unlisted
    return decision


async def _look_up(app: App, message: TeamMessage, now: datetime, head: Head | None) -> _Lookup:
    """A tree that is too large to be listed is treated as an empty one."""
    try:
        return _Lookup(message, now, {} if head is None else await tree_of(app.repository, head), head)
    except Rejected as error:
        if error.reason != "TreeTruncated":
            raise
        return _Lookup(message, now, {}, head, error)


async def ensure_branch_unchanged(app: App, event: Event[TeamMessage], decision: Decision) -> None:
    """Raise Busy when the branch leads to another decision by now.

    Called between reading an object and writing it: an ETag protects against newer writes only when the
    decision is at least as new as the object that was read.
    """
    if not (await decide(app, event.message, event.now, decision)).equivalent_to(decision):
        raise Busy("the branch has moved on", reason="BranchMoving")


async def tree_of(repository: Repository, head: Head) -> Tree:
    tree = await repository.tree(head.tree)
    if tree is None:
        raise Unavailable(f"GitHub did not return the tree of {head.commit}")
    return tree


async def catalog_of(app: App, tree: Tree) -> ParsedCatalog:
    """The catalogue of a tree, or its problems; neither when the tree has no catalogue."""
    entry = tree.get(app.paths.catalog)
    if entry is None:
        return ParsedCatalog(None, ())
    return read_supported_catalog(
        app.paths.catalog, await app.repository.blob(entry.blob), platform_check(app.platform)
    )


async def _decide_catalog(app: App, now: datetime, tree: Tree, head: Head) -> Decision:
    """The decision about the catalogue. All requests are reviewed with it, because a catalogue that drops a
    model in use is not valid.
    """
    if (await catalog_of(app, tree)).catalog is None:
        return Decision("stale")
    catalog = (await evaluate_all(app, head.commit, tree, Baseline(today=now.date()))).catalog
    path = app.paths.catalog
    return (
        Decision("stale")
        if catalog is None
        else Decision("active", head.commit, path, (tree[path].blob,), catalog=catalog, tree=tree)
    )


async def _decide_from_files(app: App, lookup: _Lookup) -> Decision | None:
    """The usual case, decided without reading Azure: the team's only file is valid and does not expire soon.
    All cells of that row grant. None in all other cases.
    """
    message, tree = lookup.message, lookup.tree
    entry = tree.get(message.path)
    if (
        message.change != "requested"
        or entry is None
        or request_paths_of(tree, message.team, app.paths.requests) != (message.path,)
    ):
        return None
    catalog = (await catalog_of(app, tree)).catalog
    request = None if catalog is None else await _valid_request(app, catalog, lookup, entry)
    if request is None or (request.expires is not None and request.expires < lookup.today + SOON):
        return None
    return _active(app, lookup, request, catalog)


def _active(app: App, lookup: _Lookup, request: AccessRequest, catalog: Catalog | None) -> Decision:
    assert lookup.head is not None
    path = lookup.message.path
    blobs = lookup.tree[path].blob, lookup.tree[app.paths.catalog].blob
    return Decision("active", lookup.head.commit, path, blobs, request, catalog, tree=lookup.tree)


async def _valid_request(app: App, catalog: Catalog, lookup: _Lookup, entry: Entry) -> AccessRequest | None:
    message = lookup.message
    if entry.mode not in REGULAR or entry.size > MAX_FILE_BYTES:
        return None
    content = message.content() if message.blob == entry.blob else None
    if content is None:
        content = await app.repository.blob(entry.blob)
    request = read(message.path, content, catalog, app.paths.requests).request
    if request is None or request.team != message.team:
        return None
    if not _is_counted(request, catalog):
        return request
    product = await app.gateway.product(names.product(message.team))
    return None if await _is_refused(app, request, catalog, lookup, product) else request


async def _is_refused(
    app: App, request: AccessRequest, catalog: Catalog, lookup: _Lookup, product: Product | None
) -> bool:
    """Whether the review refuses the request because other teams have what it asks for. All requests are read
    only where a limit over all teams applies and the team's product does not say that all of it was granted.
    """
    assert lookup.head is not None
    if not _is_counted(request, catalog) or _is_granted(app, request, catalog, product):
        return False
    path = lookup.message.path
    reviewed = await evaluate_all(
        app, lookup.head.commit, lookup.tree, Baseline(frozenset({path}), today=lookup.today)
    )
    refused = {problem.path for problem in reviewed.problems if problem.reason in BEYOND_WHAT_IS_LEFT}
    return reviewed.catalog is None or path in refused


def _is_granted(app: App, request: AccessRequest, catalog: Catalog, product: Product | None) -> bool:
    """Whether the product says that all that the request asks for is in force."""
    markers = [marker for marker in markers_of(app, [product]) if marker.withdrawn is None]
    return any(marker.digest == compile_gateway(request, catalog, app.platform).digest for marker in markers)


def _is_counted(request: AccessRequest, catalog: Catalog) -> bool:
    """Whether it asks for anything that is limited over all teams: a model with a capacity, or a dedicated
    workspace.
    """
    models = ((access, catalog.model(access.name)) for access in request.models)
    return any(
        access.instance_type is not None or (model is not None and model.capacity is not None)
        for access, model in models
    )


async def _decide_by_table(app: App, lookup: _Lookup) -> Decision:
    """Find the team's state, and decide by its cell of the table."""
    product = await app.gateway.product(names.product(lookup.message.team))
    lookup = replace(lookup, product=product)
    branch = await _own_files(app, lookup, product)
    found = await _state(app, lookup, branch, product)
    found = await _beside_the_others(app, lookup, branch.reviewed.catalog, found, product)
    if not _is_about(lookup.message, found):
        return Decision("stale")
    return await _by_action(app, lookup, branch, found)


async def _beside_the_others(
    app: App, lookup: _Lookup, catalog: Catalog | None, found: TeamState, product: Product | None
) -> TeamState:
    """The state after comparison with the other teams: a valid request for more than they leave counts as
    invalid.
    """
    if found.request is None or catalog is None:
        return found
    refused = await _is_refused(app, found.request, catalog, lookup, product)
    return replace(found, files="invalid", request=None) if refused else found


async def _by_action(app: App, lookup: _Lookup, branch: BranchFiles, found: TeamState) -> Decision:
    """The decision that the cell leads to. The guard is asked where the action ends in a question mark."""
    match found.action:
        case "grant":
            return _grant(app, lookup, branch, found)
        case "grant?" | "end?":
            return await _by_guard(app, lookup, branch, found)
        case "end" | "rest" | "freeze":
            return Decision("stale") if lookup.message.change == "held" else _ended(lookup, found)
        case _:
            return Decision("stale")


async def _by_guard(app: App, lookup: _Lookup, branch: BranchFiles, found: TeamState) -> Decision:
    """The decision of the guard, with the products that were listed for it."""
    if found.action == "end?" and lookup.message.change == "held":
        return replace(_ended(lookup, found), kind="held")
    held, listed = await _is_held(app, lookup, found)
    if found.action == "end?":
        return replace(_ended(lookup, found), kind="held" if held else "ended", listed=listed)
    return Decision("stale") if held else replace(_grant(app, lookup, branch, found), listed=listed)


def _ended(lookup: _Lookup, found: TeamState) -> Decision:
    message, tree = lookup.message, lookup.tree
    commit = lookup.head.commit if lookup.head is not None else message.commit
    blobs = (tree[found.path].blob,) if found.path in tree else ()
    return Decision("ended", commit, message.path, blobs, in_doubt=found.action == "freeze")


def _is_about(message: TeamMessage, found: TeamState) -> bool:
    """Whether the message concerns the state that was found. A request at another path has a message of its
    own, and so has a withdrawal.
    """
    if found.files == "no_tree":
        return True
    if message.change == "requested":
        return found.files not in ("gone", "no_request") and found.path == message.path
    return found.request is None or found.files == "new_end"


async def _own_files(app: App, lookup: _Lookup, product: Product | None) -> BranchFiles:
    """The team's own files and the catalogue, reviewed without the other requests. Of several files, the one
    at the path of the product's marker counts.
    """
    paths, tree = app.paths, lookup.tree
    known_paths = frozenset(marker.path for marker in markers_of(app, [product]))
    files = await read_files(
        app,
        {*request_paths_of(tree, lookup.message.team, paths.requests), paths.catalog} & tree.keys(),
        tree,
    )
    reviewed = review(
        files,
        paths.requests,
        paths.catalog,
        Baseline(known_paths, today=lookup.today),
        platform_check(app.platform),
    )
    return BranchFiles(tree, files, reviewed, paths.requests)


async def _state(app: App, lookup: _Lookup, branch: BranchFiles, product: Product | None) -> TeamState:
    team = lookup.message.team
    ours = Marker(app.platform.repository, team, "", "")
    in_use = (product is None or not ours.owns(product.marker)) and await is_in_use(app, team)
    existing = Existing(
        app.platform.repository,
        {product.name: product} if product else {},
        frozenset({team} if in_use else ()),
    )
    found = state(
        branch, existing, team, request_paths_of(lookup.tree, team, app.paths.requests), lookup.today
    )
    if lookup.head is None or not await late_last_days(app, [found], branch.reviewed, lookup.head):
        return found
    return replace(found, files="invalid", request=None)


def _grant(app: App, lookup: _Lookup, branch: BranchFiles, found: TeamState) -> Decision:
    catalog = branch.reviewed.catalog
    if found.request is None or catalog is None or lookup.message.path not in lookup.tree:
        return Decision("stale")
    return _active(app, lookup, found.request, catalog)


async def _is_held(app: App, lookup: _Lookup, found: TeamState) -> tuple[bool, ListedProducts | None]:
    """Whether the guard holds the team, and the products by which it decides. The files of all teams are
    read, because other requests may end at the same time.
    """
    if lookup.head is None:
        return True, None
    if missing_team_of(found, lookup.today) is None:
        return False, None
    in_use = frozenset({found.team} if found.in_use else ())
    # The files are read meanwhile, and kept for the evaluation.
    listed, _ = await asyncio.gather(
        _listed(app, lookup, lookup.head), files_of(app, lookup.head.commit, lookup.tree)
    )
    own = names.product(found.team)
    products = listed.with_own(own, lookup.product) if listed is lookup.listed else listed.products
    evaluated = await evaluate_teams_by_products(
        app, lookup.tree, lookup.head, lookup.today, products, in_use
    )
    return evaluated.missing_teams.holds(found.team), listed


async def _listed(app: App, lookup: _Lookup, head: Head) -> ListedProducts:
    """The products by which the decision before was made, while the branch shows the same commit; else listed
    anew.

    Which other teams lose their access at a commit is decided by its files and by what they were granted
    before, and a commit grants them nothing new. Whether the team itself is held, its own product says, which
    every look reads.
    """
    now = app.clock.now()
    if lookup.listed is not None and lookup.listed.is_usable(head, now):
        return lookup.listed
    return ListedProducts(head.commit, now, await app.gateway.products())
