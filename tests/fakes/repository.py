"""A Git repository in memory with real object ids:
https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date

from shared.errors import Rejected, Unavailable
from shared.git import Entry, Tree, blob_id
from shared.ports import Commit, Head
from tests.fakes.calls import Calls
from tests.fakes.clock import FakeClock

REGULAR, SYMBOLIC_LINK = "100644", "120000"
#: How much of a file the adapter reads out of an archive.
CUT = 64 * 1024 + 1
#: As many commits of a history are told.
TOLD = 300

Files = Mapping[str, tuple[bytes, str]]


class FakeRepository:
    """A branch to commit to, and what the port reads of it.

    `commit`, `merge`, `reset`, `delete_branch` and `forget` are what people do; the port's methods are calls.

    A commit's day is that of the clock when it was made.
    """

    def __init__(self, calls: Calls, clock: FakeClock | None = None) -> None:
        self._calls = calls
        self._clock = clock or FakeClock()
        self._commits: dict[str, str] = {}
        #: Of every commit, in the order in which they were made.
        self._parents: dict[str, tuple[str, ...]] = {}
        self._days: dict[str, date] = {}
        self._messages: dict[str, str] = {}
        self._trees: dict[str, Files] = {}
        self._blobs: dict[str, bytes] = {}
        self._listed: dict[str, Tree] = {}
        self.branch: str | None = None
        self.protected = True
        self.truncates = False

    # ----------------------------------------------------------------------------------------- what people do

    def commit(
        self,
        files: Mapping[str, str | bytes | None],
        links: Mapping[str, str] | None = None,
        message: str = "changed\n",
        day: date | None = None,
    ) -> str:
        """Write files (None removes one) and symbolic links on top of the branch, on the committer's day;
        returns the commit's id.
        """
        changed: dict[str, tuple[bytes, str] | None] = {
            path: _file(content) for path, content in files.items()
        }
        changed |= {path: (target.encode(), SYMBOLIC_LINK) for path, target in (links or {}).items()}
        merged = {**self.files(), **changed}
        kept = {path: file for path, file in merged.items() if file is not None}
        self._blobs |= {blob_id(content): content for content, _ in kept.values()}
        return self._committed(kept, message, () if self.branch is None else (self.branch,), day)

    def merge(self, commit: str, message: str = "merged\n") -> str:
        """Merge another commit into the branch, whose files win; returns the merge's id."""
        assert self.branch is not None
        return self._committed(
            {**self.files(), **self._trees[self._commits[commit]]}, message, (self.branch, commit)
        )

    def _committed(
        self, files: Files, message: str, parents: tuple[str, ...], day: date | None = None
    ) -> str:
        tree = tree_id(files)
        self._trees[tree] = files
        self.branch = commit_id(tree, parents, len(self._commits), message)
        self._commits[self.branch] = tree
        self._messages[self.branch] = message
        self._parents[self.branch] = parents
        self._days[self.branch] = day or self._clock.now().date()
        return self.branch

    def files(self) -> Files:
        """The files of the branch: content and mode by path."""
        return {} if self.branch is None else self._trees[self._commits[self.branch]]

    def messages_since(self, before: str | None) -> list[str]:
        """The messages of the commits that a push brought, as its payload has them."""
        old = self._history(before) if before is not None else frozenset()
        return (
            [self._messages[sha] for sha in self._history(self.branch) - old]
            if self.branch is not None
            else []
        )

    def text(self, path: str) -> str:
        return self.files()[path][0].decode()

    def reset(self, commit: str) -> None:
        """A force push back to an earlier commit."""
        assert commit in self._commits
        self.branch = commit

    def orphan(self) -> None:
        """The next commit has no parent and no files: a history that was rewritten."""
        self.branch = None

    def delete_branch(self) -> None:
        self.branch = None

    def forget(self, commit: str) -> None:
        """GitHub has collected a commit that no branch holds any more: what came after it has begun anew."""
        del self._commits[commit]

    # ----------------------------------------------------------------------------------------------- the port

    async def head(self) -> Head | None:
        async with self._calls.read("repository", "head"):
            return (
                None
                if self.branch is None
                else Head(
                    self.branch, self._commits[self.branch], self.protected, self._messages[self.branch]
                )
            )

    async def commit_message(self, sha: str) -> str:
        async with self._calls.read("repository", "commit_message", sha):
            return self._messages[sha] if sha in self._commits else ""

    async def newest_commits(self, head: str) -> list[Commit]:
        async with self._calls.read("repository", "newest_commits", head):
            before = self._history(head)
            newest = [sha for sha in reversed(self._parents) if sha in before]
            return [
                Commit(sha, self._messages[sha], next(iter(self._parents[sha]), "")) for sha in newest[:TOLD]
            ]

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        if ancestor == descendant:
            return True
        async with self._calls.read("repository", "is_ancestor", f"{ancestor}...{descendant}"):
            return ancestor in self._history(descendant)

    async def changed_on(self, path: str, head: str) -> date | None:
        async with self._calls.read("repository", "changed_on", f"{path} {head}"):
            commit = self._changed_in(path, head)
            return None if commit is None else self._days[commit]

    async def tree(self, sha: str) -> Tree | None:
        async with self._calls.read("repository", "tree", sha):
            sha = self._commits.get(sha, sha)
            files = self._trees.get(sha)
            if files is None:
                return None
            if self.truncates:
                raise Rejected(
                    f"the tree {sha} has too many files for one answer of GitHub", reason="TreeTruncated"
                )
            if sha not in self._listed:
                self._listed[sha] = {
                    path: Entry(blob_id(content), mode, len(content))
                    for path, (content, mode) in files.items()
                }
            return self._listed[sha]

    async def blob(self, sha: str) -> bytes:
        async with self._calls.read("repository", "blob", sha):
            if sha not in self._blobs:
                raise Unavailable(f"GitHub has no blob {sha}", reason="NotFound")
            return self._blobs[sha]

    async def file(self, commit: str, path: str) -> bytes | None:
        async with self._calls.read("repository", "file", f"{commit} {path}"):
            content, mode = self._trees.get(self._commits.get(commit, ""), {}).get(path, (b"", SYMBOLIC_LINK))
            return content if mode == REGULAR and len(content) < CUT else None

    async def archive(self, commit: str) -> Mapping[str, bytes]:
        async with self._calls.read("repository", "archive", commit):
            if commit not in self._commits:
                raise Unavailable(f"GitHub has no commit {commit}", reason="NotFound")
            files = self._trees[self._commits[commit]]
            return {path: content[:CUT] for path, (content, mode) in files.items() if mode != SYMBOLIC_LINK}

    # ------------------------------------------------------------------------------------------------ history

    def _before(self, commit: str) -> list[str]:
        return [parent for parent in self._parents[commit] if parent in self._commits]

    def _history(self, head: str) -> set[str]:
        """The commit and all before it; nothing of one that is not there."""
        found: set[str] = set()
        waiting = [head] if head in self._commits else []
        while waiting:
            commit = waiting.pop()
            if commit not in found:
                found.add(commit)
                waiting += self._before(commit)
        return found

    def _changed_in(self, path: str, head: str) -> str | None:
        """As Git looks: past every commit that has the file as one of its parents has it."""
        commit = head if head in self._commits else None
        while commit is not None:
            here, parents = self._file_in(path, commit), self._before(commit)
            same = next((parent for parent in parents if self._file_in(path, parent) == here), None)
            if same is None:
                return commit if parents or here is not None else None
            commit = same
        return None

    def _file_in(self, path: str, commit: str) -> tuple[bytes, str] | None:
        return self._trees[self._commits[commit]].get(path)


def tree_id(files: Files) -> str:
    """Git's id of a folder with these files."""
    folders: dict[str, dict[str, tuple[bytes, str]]] = {}
    rows: list[tuple[str, bytes]] = []
    for path, file in files.items():
        first, _, rest = path.partition("/")
        if rest:
            folders.setdefault(first, {})[rest] = file
        else:
            rows.append((first, f"{file[1]} {first}\0".encode() + bytes.fromhex(blob_id(file[0]))))
    # Git sorts a folder as if its name ended in a slash.
    rows += [
        (f"{name}/", f"40000 {name}\0".encode() + bytes.fromhex(tree_id(inner)))
        for name, inner in folders.items()
    ]
    return _object_id("tree", b"".join(row for _, row in sorted(rows)))


def commit_id(tree: str, parents: Sequence[str], seconds: int, message: str) -> str:
    """Git's id of a commit that was made so many seconds after 1970."""
    who = f"Ada <ada@contoso.com> {seconds} +0000"
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {who}",
        f"committer {who}",
        "",
        message,
    ]
    return _object_id("commit", "\n".join(lines).encode())


def _object_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def _file(content: str | bytes | None) -> tuple[bytes, str] | None:
    if content is None:
        return None
    return (content.encode() if isinstance(content, str) else content), REGULAR
