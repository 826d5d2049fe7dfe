"""What the protected branch says about one team right now. A message is only a hint; this is what a stage
acts on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

from shared import names
from shared.app import App
from shared.branch.endings import judged_by_products
from shared.branch.evaluation import REGULAR, evaluate_all, read_files
from shared.branch.last_days import slips
from shared.branch.missing_teams import is_in_use, markers_of
from shared.branch.platform_checks import faults_of, read_fitting_catalog
from shared.branch.review import BEYOND_WHAT_IS_LEFT, Baseline, read, review
from shared.branch.states import SOON, TeamState
from shared.branch.team_states import BranchFiles, Existing, ending, state
from shared.branch.tree_diff import request_paths_of
from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.errors import Busy, Rejected, Unavailable
from shared.git import Entry, Tree
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.names import CATALOG_TEAM
from shared.ports import Head, Repository
from shared.requests.request import AccessRequest, ModelAccess
from shared.resources.actual import Product


@dataclass(frozen=True, slots=True)
class Decision:
    """The branch's word: the team's cell of the table of states (`shared.branch.states`), when the guard has
    been asked.

    - `wanted`: bring it to what the request says; `request` and `catalog` are set. For the catalogue:
      `catalog` is set.
    - `ended`: the access is over; what is left of it goes when its grace period has ended.
    - `held`: the guard keeps it until a person allows that it ends.
    - `superseded`: the branch has moved on, or what it says is not valid: this message changes nothing.

    `granted_groups` are groups to which the same stage may have given a role just now, for what the branch
    said a moment before. `in_doubt`: nobody can say what the branch asks for; what is over is taken away and
    nothing is deleted.
    """

    verdict: Literal["wanted", "ended", "held", "superseded"]
    commit: str = ""
    path: str = ""
    blobs: tuple[str, ...] = ()
    request: AccessRequest | None = None
    catalog: Catalog | None = None
    granted_groups: frozenset[str] = frozenset()
    in_doubt: bool = False

    def after(self, before: Decision) -> Decision:
        """The same, with what is known of the round before."""
        group = before.request.entra_group if before.request else None
        return replace(self, granted_groups=before.granted_groups | ({group} if group else set()))

    def same_as(self, other: Decision) -> bool:
        """Whether both lead to the same actions; the commit alone does not matter."""
        return (self.verdict, self.path, self.blobs) == (other.verdict, other.path, other.blobs)


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a team: the message, the moment, and what GitHub says of the branch. Without a branch there
    is no head and no tree.

    `unlisted`: why there is no tree although there is a branch.
    """

    message: TeamMessage
    now: datetime
    tree: Tree
    head: Head | None
    unlisted: Rejected | None = None

    @property
    def today(self) -> date:
        return self.now.date()


async def decide(app: App, message: TeamMessage, now: datetime) -> Decision:
    """One conditional request when the branch has not moved; a tree, and blobs that are not known yet, when
    it has.
    """
    head = await app.repository.head()
    if message.team == CATALOG_TEAM:
        return (
            Decision("superseded")
            if head is None
            else await _look_at_catalog(app, now, await tree_of(app.repository, head), head)
        )
    look_at = await _look_of(app, message, now, head)
    standing = await _plainly_wanted(app, look_at) or await _by_the_table(app, look_at)
    if look_at.unlisted is not None and standing.verdict == "superseded":
        raise look_at.unlisted
    return standing


async def _look_of(app: App, message: TeamMessage, now: datetime, head: Head | None) -> _Look:
    """A tree that is too large to be listed says as little as none."""
    try:
        return _Look(message, now, {} if head is None else await tree_of(app.repository, head), head)
    except Rejected as error:
        if error.reason != "TreeTruncated":
            raise
        return _Look(message, now, {}, head, error)


async def ensure_branch_unchanged(app: App, event: Event[TeamMessage], standing: Decision) -> None:
    """Between reading what is out there and writing over it. An ETag only fences a decision that is at least
    as new as itself.

    Raises Busy when the branch says something else by now.
    """
    if not (await decide(app, event.message, event.now)).same_as(standing):
        raise Busy("the branch has moved on", reason="BranchMoving")


async def tree_of(repository: Repository, head: Head) -> Tree:
    tree = await repository.tree(head.tree)
    if tree is None:
        raise Unavailable(f"GitHub does not give the tree of {head.commit}")
    return tree


async def catalog_of(app: App, tree: Tree) -> ParsedCatalog:
    """The catalogue of a tree, or what is wrong with it; neither when there is none."""
    entry = tree.get(app.paths.catalog)
    if entry is None:
        return ParsedCatalog(None, ())
    return read_fitting_catalog(
        app.paths.catalog, await app.repository.blob(entry.blob), faults_of(app.platform)
    )


async def _look_at_catalog(app: App, now: datetime, tree: Tree, head: Head) -> Decision:
    """With the requests: a catalogue without a model that is still used is wrong, whatever it says itself."""
    if (await catalog_of(app, tree)).catalog is None:
        return Decision("superseded")
    catalog = (await evaluate_all(app, head.commit, tree, Baseline(today=now.date()))).catalog
    path = app.paths.catalog
    return (
        Decision("superseded")
        if catalog is None
        else Decision("wanted", head.commit, path, (tree[path].blob,), catalog=catalog)
    )


async def _plainly_wanted(app: App, look_at: _Look) -> Decision | None:
    """The usual case, for which nothing of Azure is read: the team's only file is valid, and does not end
    soon. All cells of that row say the same. None for all others.
    """
    message, tree = look_at.message, look_at.tree
    entry = tree.get(message.path)
    if (
        message.change != "requested"
        or entry is None
        or request_paths_of(tree, message.team, app.paths.requests) != (message.path,)
    ):
        return None
    catalog = (await catalog_of(app, tree)).catalog
    request = None if catalog is None else await _valid_request(app, catalog, look_at, entry)
    if request is None or (request.expires is not None and request.expires < look_at.today + SOON):
        return None
    return _wanted(app, look_at, request, catalog)


def _wanted(app: App, look_at: _Look, request: AccessRequest, catalog: Catalog | None) -> Decision:
    assert look_at.head is not None
    path = look_at.message.path
    blobs = look_at.tree[path].blob, look_at.tree[app.paths.catalog].blob
    return Decision("wanted", look_at.head.commit, path, blobs, request, catalog)


async def _valid_request(app: App, catalog: Catalog, look_at: _Look, entry: Entry) -> AccessRequest | None:
    message = look_at.message
    if entry.mode not in REGULAR or entry.size > MAX_FILE_BYTES:
        return None
    content = message.content() if message.blob == entry.blob else None
    if content is None:
        content = await app.repository.blob(entry.blob)
    request = read(message.path, content, catalog, app.paths.requests).request
    if request is None or request.team != message.team or await _is_refused(app, request, catalog, look_at):
        return None
    return request


async def _is_refused(app: App, request: AccessRequest, catalog: Catalog, look_at: _Look) -> bool:
    """Whether the team asks for more than the others leave it, as the review says. All requests are read only
    where something is counted over all teams: a model's capacity, dedicated workspaces.
    """
    assert look_at.head is not None
    if not any(_is_counted(access, catalog) for access in request.models):
        return False
    path = look_at.message.path
    reviewed = await evaluate_all(
        app, look_at.head.commit, look_at.tree, Baseline(frozenset({path}), today=look_at.today)
    )
    refused = {problem.path for problem in reviewed.problems if problem.reason in BEYOND_WHAT_IS_LEFT}
    return reviewed.catalog is None or path in refused


def _is_counted(access: ModelAccess, catalog: Catalog) -> bool:
    model = catalog.model(access.name)
    return access.instance_type is not None or (model is not None and model.capacity is not None)


async def _by_the_table(app: App, look_at: _Look) -> Decision:
    """The team's state, and what its cell says."""
    message = look_at.message
    product = await app.gateway.product(names.product(message.team))
    branch = await _own_files(app, look_at, product)
    found = await _state(app, look_at, branch, product)
    if found.request is not None and branch.reviewed.catalog is not None:
        # Right by itself, and more than the others leave it: as a file that is not valid.
        refused = await _is_refused(app, found.request, branch.reviewed.catalog, look_at)
        found = replace(found, files="invalid", request=None) if refused else found
    if not _is_about(message, found):
        return Decision("superseded")
    commit = look_at.head.commit if look_at.head is not None else message.commit
    blobs = (look_at.tree[found.path].blob,) if found.path in look_at.tree else ()
    ended = Decision("ended", commit, message.path, blobs, in_doubt=found.action == "freeze")
    match found.action:
        case "grant":
            return await _grant(app, look_at, branch, found)
        case "grant?":
            held = await _is_held(app, look_at, found)
            return Decision("superseded") if held else await _grant(app, look_at, branch, found)
        case "end?":
            kept = message.change == "held" or await _is_held(app, look_at, found)
            return replace(ended, verdict="held") if kept else ended
        case "end" | "rest" | "freeze":
            return ended if message.change != "held" else Decision("superseded")
        case _:
            return Decision("superseded")


def _is_about(message: TeamMessage, found: TeamState) -> bool:
    """Whether the message speaks of what there is. A request at another path has a message of its own, and so
    has a withdrawal.
    """
    if found.files == "no_tree":
        return True
    if message.change == "requested":
        return found.files not in ("gone", "junk") and found.path == message.path
    return found.request is None or found.files == "new_end"


async def _own_files(app: App, look_at: _Look, product: Product | None) -> BranchFiles:
    """The team's own files and the catalogue, reviewed by themselves. Of several files the one that the
    product was made from counts.
    """
    places, tree = app.paths, look_at.tree
    held = frozenset(marker.path for marker in markers_of(app, [product]))
    files = await read_files(
        app,
        {*request_paths_of(tree, look_at.message.team, places.requests), places.catalog} & tree.keys(),
        tree,
    )
    reviewed = review(
        files, places.requests, places.catalog, Baseline(held, today=look_at.today), faults_of(app.platform)
    )
    return BranchFiles(tree, files, reviewed, places.requests)


async def _state(app: App, look_at: _Look, branch: BranchFiles, product: Product | None) -> TeamState:
    team = look_at.message.team
    ours = Marker(app.platform.repository, team, "", "")
    works = (product is None or not ours.owns(product.marker)) and await is_in_use(app, team)
    existing = Existing(
        app.platform.repository,
        {product.name: product} if product else {},
        frozenset({team} if works else ()),
    )
    found = state(
        branch, existing, team, request_paths_of(look_at.tree, team, app.paths.requests), look_at.today
    )
    if look_at.head is None or not await slips(app, [found], branch.reviewed, look_at.head):
        return found
    return replace(found, files="invalid", request=None)


async def _grant(app: App, look_at: _Look, branch: BranchFiles, found: TeamState) -> Decision:
    catalog, message = branch.reviewed.catalog, look_at.message
    if found.request is None or catalog is None:
        return Decision("superseded")
    return (
        _wanted(app, look_at, found.request, catalog)
        if message.path in look_at.tree
        else Decision("superseded")
    )


async def _is_held(app: App, look_at: _Look, found: TeamState) -> bool:
    """What the guard says. Paths alone may tell that too many go; before anybody is let go, the files of all
    teams are read: some of them may say that access ends.
    """
    if look_at.head is None:
        return True
    this = ending(found, look_at.today)
    if this is None:
        return False
    works = frozenset({found.team} if found.in_use else ())
    return (await judged_by_products(app, look_at.tree, look_at.head, look_at.today, works)).absence.holds(
        found.team
    )
