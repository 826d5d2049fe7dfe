"""What is to be said of the branch's files, for a push, a sweep and a stage alike.

Files alone decide nearly everything. Where they do not (a model is asked for of which there is only so much
for all teams, or one is named that is not in the catalogue any more), what is in force decides
(`shared.branch.account`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from shared.app import App
from shared.branch.account import Files, Seen, account_of
from shared.branch.ceilings import Platform
from shared.branch.missing_teams import markers_of
from shared.branch.platform_checks import faults_of
from shared.branch.review import Baseline, File, Review, is_read, review
from shared.catalog.capacity import limits_of
from shared.documents.strict_yaml import LARGEST
from shared.git import Tree, blob_id

#: Git modes of regular files; links and submodules are no requests.
REGULAR = frozenset({"100644", "100755"})
#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(LARGEST + 1)


async def read_files(
    app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None
) -> dict[str, File]:
    """The files at these paths. `known` contents, of an archive, count only when they hash to the tree's
    blob: attributes in the repository can change what an archive holds.
    """
    wanted = sorted(paths)
    read = [path for path in wanted if _is_content_read(app, path, tree)]
    contents = await _contents(app, read, tree, known or {})
    return {path: File(contents.get(path, b""), tree[path].mode) for path in wanted}


def _is_content_read(app: App, path: str, tree: Tree) -> bool:
    return is_read(path, app.places.requests, app.places.catalog) and tree[path].mode in REGULAR


async def _contents(
    app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The content of each of these files: `TOO_LARGE`, the known one, or one download."""
    contents = {path: known.get(path, b"") if tree[path].size <= LARGEST else TOO_LARGE for path in paths}
    missing = [
        path
        for path, content in contents.items()
        if content is not TOO_LARGE and blob_id(content, len(tree[path].blob)) != tree[path].blob
    ]
    blobs = await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing))
    return contents | dict(zip(missing, blobs, strict=True))


async def evaluate(app: App, files: Mapping[str, File], past: Baseline, seen: Seen | None = None) -> Review:
    """The review of these files. The products are listed only where they decide; a caller that has `seen`
    them already gets the account in the review in any case.
    """
    reviewed = _review(app, files, replace(past, platform=_platform(app, past, seen)))
    if not _is_account_needed(reviewed, seen):
        return reviewed
    known = Seen(await app.gateway.products()) if seen is None else seen
    return _review(app, files, await _with_account(app, files, reviewed, past, known))


def _review(app: App, files: Mapping[str, File], past: Baseline) -> Review:
    return review(files, app.places.requests, app.places.catalog, past, faults_of(app.platform))


def _is_account_needed(reviewed: Review, seen: Seen | None) -> bool:
    catalog = reviewed.catalog
    if catalog is None:
        return False
    return bool(reviewed.in_doubt) or (seen is not None and bool(limits_of(catalog)))


async def _with_account(
    app: App, files: Mapping[str, File], reviewed: Review, past: Baseline, seen: Seen
) -> Baseline:
    """The same baseline, with what is in force: of the teams in doubt, or of all teams."""
    assert reviewed.catalog is not None, "there is nothing to count without a catalogue"
    of_all = reviewed.counted or not reviewed.in_doubt
    teams = (
        None if of_all else frozenset(app.places.requests.team_of(path) or "" for path in reviewed.in_doubt)
    )
    account = await account_of(app, Files(reviewed.catalog, _texts(app, files)), seen, teams)
    in_force = frozenset(marker.path for marker in markers_of(app, seen.products)) & files.keys()
    return replace(
        past,
        held=past.held | in_force,
        in_force=account.in_force,
        standing=account.workspaces,
        kept=account.kept,
        platform=_platform(app, past, seen),
    )


def _platform(app: App, past: Baseline, seen: Seen | None) -> Platform:
    """The products that are there: a withdrawn one is, until its grace period ends. Where they were not
    listed, those of the requests that were there before.
    """
    if seen is None:
        teams = frozenset(app.places.requests.team_of(path) or "" for path in past.held)
        return Platform(app.platform.tier, teams)
    holders = frozenset(marker.team for marker in markers_of(app, seen.products))
    return Platform(app.platform.tier, holders, len(seen.products) - len(holders))


def _texts(app: App, files: Mapping[str, File]) -> dict[str, bytes]:
    return {
        path: file.content
        for path, file in files.items()
        if file.mode in REGULAR and app.places.requests.folder(path) is not None
    }


async def evaluate_all(app: App, commit: str, tree: Tree, past: Baseline, seen: Seen | None = None) -> Review:
    """The review of all requests of a commit, and of its catalogue."""
    paths = [path for path in tree if is_read(path, app.places.requests, app.places.catalog)]
    return await evaluate(
        app, await read_files(app, paths, tree, await app.repository.archive(commit)), past, seen
    )
