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
from shared.branch.platform_checks import platform_check
from shared.branch.review import Baseline, File, Review, is_read, review
from shared.catalog.capacity import limits_of
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.git import Tree, blob_id

#: Git modes of regular files; links and submodules are not read.
REGULAR = frozenset({"100644", "100755"})
#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(MAX_FILE_BYTES + 1)


async def read_files(
    app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None
) -> dict[str, File]:
    """The files at these paths. `known` contents, from an archive, are used only if they hash to the tree's
    blob: Git attributes can change the contents of an archive.
    """
    chosen = sorted(paths)
    read = [path for path in chosen if _is_content_read(app, path, tree)]
    contents = await _contents(app, read, tree, known or {})
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
    return review(files, app.paths.requests, app.paths.catalog, baseline, platform_check(app.platform))


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
    account = await account_of(app, RequestFiles(reviewed.catalog, _texts(app, files)), seen, teams)
    in_force = frozenset(marker.path for marker in markers_of(app, seen.products)) & files.keys()
    return replace(
        baseline,
        known_paths=baseline.known_paths | in_force,
        in_force=account.in_force,
        workspaces=account.workspaces,
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


def _texts(app: App, files: Mapping[str, File]) -> dict[str, bytes]:
    return {
        path: file.content
        for path, file in files.items()
        if file.mode in REGULAR and app.paths.requests.folder(path) is not None
    }


async def evaluate_all(
    app: App, commit: str, tree: Tree, baseline: Baseline, seen: KnownObjects | None = None
) -> Review:
    """The review of all requests of a commit and of its catalogue."""
    paths = [path for path in tree if is_read(path, app.paths.requests, app.paths.catalog)]
    return await evaluate(
        app, await read_files(app, paths, tree, await app.repository.archive(commit)), baseline, seen
    )
