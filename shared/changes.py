"""From files of the branch to access changes, and to what people are told about them: what a push and a sweep have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from shared.domain.guard import Absence
from shared.domain.problem import START, Problem, problem_at
from shared.domain.push import Tree
from shared.domain.review import File, Review, is_read
from shared.domain.strict_yaml import LARGEST
from shared.messages import CATALOG_TEAM, AccessChange, blob_id
from shared.ports import App, Head
from shared.standing import REGULAR

#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(LARGEST + 1)


async def read_files(app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None) -> dict[str, File]:
    """The files at these paths. `known` contents, of an archive, count only when they hash to the tree's blob: attributes in the
    repository can change what an archive holds.
    """
    wanted, contents = sorted(paths), dict(known or {})
    needed = [path for path in wanted if is_read(path, app.places.requests, app.places.catalog) and tree[path].mode in REGULAR]
    small = [path for path in needed if tree[path].size <= LARGEST]
    missing = [path for path in small if blob_id(contents.get(path, b""), len(tree[path].blob)) != tree[path].blob]
    contents |= dict(zip(missing, await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing)), strict=True))
    contents |= {path: TOO_LARGE for path in needed if tree[path].size > LARGEST}
    return {path: File(contents.get(path, b"") if path in needed else b"", tree[path].mode) for path in wanted}


def requested(reviewed: Review, paths: Iterable[str], tree: Tree, head: Head, files: Mapping[str, File]) -> list[AccessChange]:
    """A change per valid request. Without a valid catalogue nothing can be granted."""
    valid = [path for path in paths if path in reviewed.requests] if reviewed.catalog else []
    return [change_of(reviewed.requests[path].team, path, head, tree[path].blob, files[path]) for path in valid]


def held_problems(judged: Absence) -> list[Problem]:
    """Where the files were, so that whoever looks at the push finds it."""
    return [problem_at(each.path, START, "WithdrawalsHeld", judged.explain()) for each in judged.held]


async def report(app: App, head: Head, teams: int, problems: Sequence[Problem]) -> str:
    summary = f"{teams} teams queued" + (f", {len(problems)} problems" if problems else "")
    await app.reports.verdict(head.commit, problems, summary)
    return summary


def catalog_change(app: App, tree: Tree, head: Head, files: Mapping[str, File]) -> AccessChange:
    path = app.places.catalog
    return change_of(CATALOG_TEAM, path, head, tree[path].blob, files[path])


def change_of(team: str, path: str, head: Head, blob: str, file: File) -> AccessChange:
    return AccessChange(change="requested", team=team, path=path, commit=head.commit, blob=blob, text=file.content.decode())
