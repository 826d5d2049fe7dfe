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
from shared.catalog.catalog import Catalog
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
    wanted, contents = sorted(paths), dict(known or {})
    needed = [
        path
        for path in wanted
        if is_read(path, app.places.requests, app.places.catalog) and tree[path].mode in REGULAR
    ]
    small = [path for path in needed if tree[path].size <= LARGEST]
    missing = [
        path for path in small if blob_id(contents.get(path, b""), len(tree[path].blob)) != tree[path].blob
    ]
    contents |= dict(
        zip(
            missing,
            await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing)),
            strict=True,
        )
    )
    contents |= {path: TOO_LARGE for path in needed if tree[path].size > LARGEST}
    return {
        path: File(contents.get(path, b"") if path in needed else b"", tree[path].mode) for path in wanted
    }


async def evaluate(app: App, files: Mapping[str, File], past: Baseline, seen: Seen | None = None) -> Review:
    """The review of these files. What is in force is asked for only where it decides; who has `seen` it is
    told of the account anyway.
    """
    faults, teams = (
        faults_of(app.platform),
        frozenset(app.places.requests.team_of(path) or "" for path in past.held),
    )
    past = replace(
        past, platform=Platform(app.platform.tier, teams) if seen is None else _platform(app, seen)
    )
    reviewed = review(files, app.places.requests, app.places.catalog, past, faults)
    catalog = reviewed.catalog
    if catalog is None or not (reviewed.in_doubt or (seen is not None and limits_of(catalog))):
        return reviewed
    seen = Seen(await app.gateway.products()) if seen is None else seen
    doubted = {app.places.requests.team_of(path) or "" for path in reviewed.in_doubt}
    everybody = reviewed.counted or not reviewed.in_doubt
    account = await account_of(
        app, _requests(app, catalog, files), seen, None if everybody else frozenset(doubted)
    )
    holders = frozenset(marker.path for marker in markers_of(app, seen.products)) & files.keys()
    known = replace(
        past,
        held=past.held | holders,
        in_force=account.in_force,
        standing=account.workspaces,
        kept=account.kept,
    )
    return review(
        files, app.places.requests, app.places.catalog, replace(known, platform=_platform(app, seen)), faults
    )


def _platform(app: App, seen: Seen) -> Platform:
    """Products that are withdrawn are there until their grace ends."""
    holders = frozenset(marker.team for marker in markers_of(app, seen.products))
    return Platform(app.platform.tier, holders, len(seen.products) - len(holders))


def _requests(app: App, catalog: Catalog, files: Mapping[str, File]) -> Files:
    contents = {path: file.content for path, file in files.items() if file.mode in REGULAR}
    return Files.of(catalog, contents, app.places.requests)


async def evaluate_all(app: App, commit: str, tree: Tree, past: Baseline, seen: Seen | None = None) -> Review:
    """The review of all requests of a commit, and of its catalogue."""
    paths = [path for path in tree if is_read(path, app.places.requests, app.places.catalog)]
    return await evaluate(
        app, await read_files(app, paths, tree, await app.repository.archive(commit)), past, seen
    )
