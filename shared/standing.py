"""What the protected branch says about one team right now. A message is only a hint; this is what a stage acts on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal

from shared.absence import absence, is_in_use, markers_of
from shared.app import App
from shared.domain import names
from shared.domain.catalog import Catalog, CatalogVerdict
from shared.domain.desired import Platform
from shared.domain.guard import Gone, is_leave, is_named
from shared.domain.marker import Marker
from shared.domain.platform_faults import faults_of, read_fitting_catalog
from shared.domain.push import Tree, homes
from shared.domain.request import AccessRequest, ModelAccess, read_request
from shared.domain.review import BEYOND_WHAT_IS_LEFT, Past
from shared.domain.strict_yaml import LARGEST
from shared.errors import Busy, Unavailable
from shared.messages import CATALOG_TEAM, TeamMessage
from shared.outcome import Event
from shared.ports import Head, Repository
from shared.verdict import REGULAR, judge_all


@dataclass(frozen=True, slots=True)
class Standing:
    """The branch's word.

    - `wanted`: the request is there, valid and not over; `request` and `catalog` are set. For the catalogue: `catalog` is set.
    - `ended`: the request is there, and its last day is over; or it is not valid, and what was granted before is over.
    - `gone`: the message says withdrawn, there is indeed no request of the team, and the guard lets it go.
    - `held`: there is no request of the team, and the guard does not let it go until a person allows it.
    - `superseded`: the branch has moved on, or what it says is not valid: this message changes nothing.

    `let_in` are groups that the same stage may have let in just now, for what the branch said a moment before. `in_doubt`: without a valid
    catalogue nobody knows whether the request is; what is over is taken away and nothing is deleted.
    """

    verdict: Literal["wanted", "ended", "gone", "held", "superseded"]
    commit: str = ""
    path: str = ""
    blobs: tuple[str, ...] = ()
    request: AccessRequest | None = None
    catalog: Catalog | None = None
    let_in: frozenset[str] = frozenset()
    in_doubt: bool = False

    def after(self, before: Standing) -> Standing:
        """The same, with what is known of the round before."""
        group = before.request.entra_group if before.request else None
        return replace(self, let_in=before.let_in | ({group} if group else set()))

    def same_as(self, other: Standing) -> bool:
        """Whether both lead to the same actions; the commit alone does not matter."""
        return (self.verdict, self.path, self.blobs) == (other.verdict, other.path, other.blobs)


async def look(app: App, message: TeamMessage, now: datetime) -> Standing:
    """One conditional request when the branch has not moved; a tree, and blobs that are not known yet, when it has."""
    head = await app.repository.head()
    if head is None:
        return Standing("superseded")
    tree = await tree_of(app.repository, head)
    if message.team == CATALOG_TEAM:
        return await _look_at_catalog(app, now, tree, head)
    if message.change != "requested":
        return await _look_for_absence(app, message, tree, head)
    return await _look_at_request(app, message, now, tree, head)


async def require_unmoved(app: App, event: Event[TeamMessage], standing: Standing) -> None:
    """Between reading what is out there and writing over it. An ETag only fences a decision that is at least as new as itself.

    Raises Busy when the branch says something else by now.
    """
    if not (await look(app, event.message, event.now)).same_as(standing):
        raise Busy("the branch has moved on", reason="BranchMoving")


async def tree_of(repository: Repository, head: Head) -> Tree:
    tree = await repository.tree(head.tree)
    if tree is None:
        raise Unavailable(f"GitHub does not give the tree of {head.commit}")
    return tree


async def catalog_of(app: App, tree: Tree) -> CatalogVerdict:
    """The catalogue of a tree, or what is wrong with it; neither when there is none."""
    entry = tree.get(app.places.catalog)
    if entry is None:
        return CatalogVerdict(None, ())
    return _read_catalog(app.places.catalog, await app.repository.blob(entry.blob), app.platform)


@lru_cache(maxsize=16)
def _read_catalog(path: str, content: bytes, platform: Platform) -> CatalogVerdict:
    return read_fitting_catalog(path, content, faults_of(platform))


async def _look_at_catalog(app: App, now: datetime, tree: Tree, head: Head) -> Standing:
    """With the requests: a catalogue without a model that is still used is wrong, whatever it says itself."""
    if (await catalog_of(app, tree)).catalog is None:
        return Standing("superseded")
    catalog = (await judge_all(app, head.commit, tree, Past(today=now.date()))).catalog
    path = app.places.catalog
    return Standing("superseded") if catalog is None else Standing("wanted", head.commit, path, (tree[path].blob,), catalog=catalog)


async def _look_for_absence(app: App, message: TeamMessage, tree: Tree, head: Head) -> Standing:
    """A branch without any file is a mistake: it withdraws nobody. Whoever was withdrawn before has passed the guard."""
    if homes(tree, message.team, app.places.requests) or not tree:
        return Standing("superseded")
    marker = next(iter(markers_of(app, [await app.gateway.product(names.product(message.team))])), None)
    if marker is not None and marker.withdrawn is not None:
        return Standing("gone" if message.change == "withdrawn" else "superseded", head.commit, message.path)
    if message.change == "held":
        return Standing("held" if marker is not None else "superseded", head.commit, message.path)
    let_go = (marker is None and not await is_in_use(app, message.team)) or await _may_go(app, message, tree, head, marker)
    return Standing("gone" if let_go else "held", head.commit, message.path)


async def _may_go(app: App, message: TeamMessage, tree: Tree, head: Head, marker: Marker | None) -> bool:
    """What the guard says, or the person who was asked. Leave that was given for other teams too comes with the message."""
    text = head.message if message.commit == head.commit else await app.repository.commit_message(message.commit)
    commit = "" if marker is None else marker.commit
    if is_named(message.team, commit, message.leave) and is_leave(message.leave, text):
        return True
    judged = absence(app, await app.gateway.products(), tree, text, [Gone(message.team, message.path, "", withdrawn=False)])
    return message.team not in {each.team for each in judged.held}


async def _look_at_request(app: App, message: TeamMessage, now: datetime, tree: Tree, head: Head) -> Standing:
    entry = tree.get(message.path)
    paths = homes(tree, message.team, app.places.requests)
    holder = await _holder(app, message, paths) if len(paths) > 1 else message.path
    if entry is None or holder not in (message.path, ""):
        return Standing("superseded")
    catalog = (await catalog_of(app, tree)).catalog
    look_at = _Look(message, now, tree, head, holder)
    request = None if catalog is None else await _valid_request(app, catalog, look_at)
    if catalog is None or request is None:
        ended = Standing("ended", head.commit, message.path, (entry.blob,), in_doubt=catalog is None)
        return ended if await _is_over(app, look_at) else Standing("superseded")
    verdict: Literal["wanted", "ended"] = "ended" if request.expires is not None and request.expires < now.date() else "wanted"
    return Standing(verdict, head.commit, message.path, (entry.blob, tree[app.places.catalog].blob), request, catalog)


async def _valid_request(app: App, catalog: Catalog, look_at: _Look) -> AccessRequest | None:
    message, entry = look_at.message, look_at.tree[look_at.message.path]
    if entry.mode not in REGULAR or entry.size > LARGEST:
        return None
    content = message.content() if message.blob == entry.blob else None
    if content is None:
        content = await app.repository.blob(entry.blob)
    request = read_request(message.path, content, catalog, app.places.requests).request
    if request is None or request.team != message.team or await _is_refused(app, request, catalog, look_at):
        return None
    return request


async def _is_over(app: App, look_at: _Look) -> bool:
    """Whether what was granted before the request became invalid is over: nobody keeps access by a file that cannot be read."""
    product = await app.gateway.product(names.product(look_at.message.team))
    if product is None:
        return not await is_in_use(app, look_at.message.team)
    return any(marker.is_over(look_at.now.date()) for marker in markers_of(app, [product]))


@dataclass(frozen=True, slots=True)
class _Look:
    """`holder`: the team's only file, of several the one that is in force; empty when none of them is."""

    message: TeamMessage
    now: datetime
    tree: Tree
    head: Head
    holder: str


async def _is_refused(app: App, request: AccessRequest, catalog: Catalog, look_at: _Look) -> bool:
    """Whether the team asks for more than the others leave it, or in two files at once, as the review says. All requests are read only
    where something is counted over all teams (a model's capacity, dedicated workspaces), or where none of several files is in force.
    """
    if look_at.holder and not any(_is_counted(access, catalog) for access in request.models):
        return False
    held = frozenset({look_at.holder}) if look_at.holder else frozenset[str]()
    reviewed = await judge_all(app, look_at.head.commit, look_at.tree, Past(held, today=look_at.now.date()))
    reasons = BEYOND_WHAT_IS_LEFT | ({"DuplicateTeam"} if not look_at.holder else set())
    refused = {problem.path for problem in reviewed.problems if problem.reason in reasons}
    return reviewed.catalog is None or look_at.message.path in refused


def _is_counted(access: ModelAccess, catalog: Catalog) -> bool:
    model = catalog.model(access.name)
    return access.instance_type is not None or (model is not None and model.capacity is not None)


async def _holder(app: App, message: TeamMessage, paths: Sequence[str]) -> str:
    """Of several files of a team the one that its product was made from, which stays in force; empty when none of them is."""
    markers = markers_of(app, [await app.gateway.product(names.product(message.team))])
    return next((marker.path for marker in markers if marker.path in paths), "")
