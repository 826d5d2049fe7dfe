"""The evaluation of the branch's files, the same for pushes, sweeps and stages.

Nearly everything is decided by the files alone. The account of what is in force (`shared.branch.account`) is
needed where a request asks for a model that is limited over all teams, or names one that left the catalogue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from shared.app import App
from shared.branch.account import KnownObjects, RequestFiles, account_of
from shared.branch.ceilings import PlatformUsage
from shared.branch.missing_teams import markers_of
from shared.branch.platform_checks import platform_check, read_supported_catalog
from shared.branch.repository_state import Kept, is_read, reviewed_paths
from shared.branch.review import Baseline, File, Review, read, review
from shared.catalog.capacity import limits_of
from shared.catalog.catalog import Catalog
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.git import Tree, blob_id

#: Git modes of regular files; links and submodules are not read.
REGULAR = frozenset({"100644", "100755"})
#: With more files than this that have to be downloaded, all are, in one call.
MAX_BLOBS = 5
#: Requests that are evaluated before other events get their turn: 50 ms at most.
SLICE = 16
#: Baselines beside which the same files are reviewed: without the account, with it, with a reservation.
BASELINES = 4
#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(MAX_FILE_BYTES + 1)

_FILES: Kept[Tree, Mapping[str, File]] = Kept(4)
_REQUESTS: Kept[Mapping[str, File], Mapping[str, Mapping[str, bytes]]] = Kept(4)
_REVIEWS: Kept[Mapping[str, File], tuple[tuple[Baseline, Review], ...]] = Kept()


async def read_files(
    app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None
) -> dict[str, File]:
    """The files at these paths. `known` contents, from an archive, are used only if they hash to the tree's
    blob: Git attributes can change the contents of an archive.
    """
    chosen = sorted(paths)
    with_content = [path for path in chosen if _is_content_read(app, path, tree)]
    contents = await _contents(app, with_content, tree, known or {})
    return {path: File(contents.get(path, b""), tree[path].mode) for path in chosen}


def _is_content_read(app: App, path: str, tree: Tree) -> bool:
    return is_read(path, app.paths.requests, app.paths.catalog) and tree[path].mode in REGULAR


async def _contents(
    app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The content of each of these files: `TOO_LARGE`, the known content, or one download."""
    contents = {
        path: known.get(path, b"") if tree[path].size <= MAX_FILE_BYTES else TOO_LARGE for path in paths
    }
    missing = [
        path
        for path, content in contents.items()
        if content is not TOO_LARGE and blob_id(content, len(tree[path].blob)) != tree[path].blob
    ]
    blobs = await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing))
    return contents | dict(zip(missing, blobs, strict=True))


async def evaluate(
    app: App, files: Mapping[str, File], baseline: Baseline, seen: KnownObjects | None = None
) -> Review:
    """The review of these files. Products are listed only if the account is needed; if the caller has `seen`
    them already, the review includes the account in any case.
    """
    reviewed = _review(app, files, replace(baseline, usage=_usage(app, baseline, seen)))
    if not _is_account_needed(reviewed, seen):
        return reviewed
    known = KnownObjects(await app.gateway.products()) if seen is None else seen
    return _review(app, files, await _with_account(app, files, reviewed, baseline, known))


def _review(app: App, files: Mapping[str, File], baseline: Baseline) -> Review:
    """The same files beside the same baseline are reviewed once."""
    check = platform_check(app.platform)
    known = _REVIEWS.get(files, (app.paths, check)) or ()
    for before, reviewed in known:
        if before == baseline:
            return reviewed
    reviewed = review(files, app.paths.requests, app.paths.catalog, baseline, check)
    _REVIEWS.put(files, ((baseline, reviewed), *known[: BASELINES - 1]), (app.paths, check))
    return reviewed


def _is_account_needed(reviewed: Review, seen: KnownObjects | None) -> bool:
    catalog = reviewed.catalog
    if catalog is None:
        return False
    return bool(reviewed.in_doubt) or (seen is not None and bool(limits_of(catalog)))


async def _with_account(
    app: App, files: Mapping[str, File], reviewed: Review, baseline: Baseline, seen: KnownObjects
) -> Baseline:
    """The baseline with the account of the teams in doubt, or of all teams."""
    assert reviewed.catalog is not None, "there is nothing to count without a catalogue"
    of_all = reviewed.counts_all_teams or not reviewed.in_doubt
    teams = (
        None if of_all else frozenset(app.paths.requests.team_of(path) or "" for path in reviewed.in_doubt)
    )
    account = await account_of(app, request_files(app, reviewed.catalog, files), seen, teams)
    in_force = frozenset(marker.path for marker in markers_of(app, seen.products)) & files.keys()
    return replace(
        baseline,
        known_paths=baseline.known_paths | in_force,
        in_force=account.in_force,
        workspaces=account.workspaces,
        nodes=account.nodes,
        unmanaged=account.kept,
        usage=_usage(app, baseline, seen),
    )


def _usage(app: App, baseline: Baseline, seen: KnownObjects | None) -> PlatformUsage:
    """The products that exist; a withdrawn one exists until its grace period ends. If they were not listed,
    those of the requests that are known from before.
    """
    if seen is None:
        teams = frozenset(app.paths.requests.team_of(path) or "" for path in baseline.known_paths)
        return PlatformUsage(app.platform.tier, teams)
    holders = frozenset(marker.team for marker in markers_of(app, seen.products))
    return PlatformUsage(app.platform.tier, holders, len(seen.products) - len(holders))


def request_files(app: App, catalog: Catalog, files: Mapping[str, File]) -> RequestFiles:
    """The requests among these files, beside this catalogue. Of files that are kept, once for all."""
    known = _REQUESTS.get(files, app.paths)
    if known is None:
        known = _REQUESTS.put(files, _by_team(app, files), app.paths)
    return RequestFiles(catalog, known)


def _by_team(app: App, files: Mapping[str, File]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path, file in files.items():
        team = app.paths.requests.team_of(path)
        if team is not None and file.mode in REGULAR:
            found.setdefault(team, {})[path] = file.content
    return found


async def files_of(app: App, commit: str, tree: Tree) -> Mapping[str, File]:
    """The files of a commit that a review looks at. They are kept by their tree, each of them evaluated by
    itself: the next tree costs its difference.
    """
    known, before = _FILES.get(tree, app.paths), _FILES.newest(app.paths)
    if known is not None:
        return known
    paths = reviewed_paths(tree, app.paths.requests, app.paths.catalog)
    unchanged = {} if before is None else _unchanged(before[1], before[0], tree, paths)
    rest = paths - unchanged.keys()
    contents = await app.repository.archive(commit) if len(rest) > MAX_BLOBS else {}
    files = unchanged | await read_files(app, rest, tree, contents)
    await _evaluate_each(app, files, rest if app.paths.catalog in unchanged else files)
    return _FILES.put(tree, {path: files[path] for path in sorted(files)}, app.paths)


def has_read(app: App, tree: Tree) -> bool:
    """Whether this process has read the files of the tree, so that those of a similar one cost little."""
    return _FILES.get(tree, app.paths) is not None


def _unchanged(files: Mapping[str, File], before: Tree, tree: Tree, paths: Iterable[str]) -> dict[str, File]:
    return {path: files[path] for path in paths if path in files and before.get(path) == tree[path]}


async def _evaluate_each(app: App, files: Mapping[str, File], paths: Iterable[str]) -> None:
    """Evaluate these requests by themselves; the review finds the results in the cache of `read`. To read a
    request takes milliseconds: other events get their turn in between.
    """
    catalog = files.get(app.paths.catalog)
    found = _catalog(app, catalog) if catalog is not None else None
    requests = sorted(path for path in paths if app.paths.requests.folder(path) is not None)
    for number, path in enumerate(requests):
        if files[path].mode in REGULAR:
            read(path, files[path].content, found, app.paths.requests)
        if number % SLICE == SLICE - 1:
            await asyncio.sleep(0)


def _catalog(app: App, file: File) -> Catalog | None:
    return read_supported_catalog(app.paths.catalog, file.content, platform_check(app.platform)).catalog


async def evaluate_all(
    app: App, commit: str, tree: Tree, baseline: Baseline, seen: KnownObjects | None = None
) -> Review:
    """The review of all requests of a commit and of its catalogue."""
    return await evaluate(app, await files_of(app, commit, tree), baseline, seen)
