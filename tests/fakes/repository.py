"""A Git repository in memory with real object ids: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from shared.domain.push import Entry, Tree
from shared.errors import Rejected, Unavailable
from shared.messages import blob_id
from shared.ports import Head
from tests.fakes.calls import Calls

REGULAR, SYMBOLIC_LINK = "100644", "120000"
#: How much of a file the adapter reads out of an archive.
CUT = 64 * 1024 + 1

Files = Mapping[str, tuple[bytes, str]]


class FakeRepository:
    """A branch to commit to, and what the port reads of it.

    `commit`, `reset`, `delete_branch` and `forget` are what people do; the port's methods are calls.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._commits: dict[str, str] = {}
        self._messages: dict[str, str] = {}
        self._trees: dict[str, Files] = {}
        self._blobs: dict[str, bytes] = {}
        self._listed: dict[str, Tree] = {}
        self.branch: str | None = None
        self.protected = True
        self.truncates = False

    # ------------------------------------------------------------------------------------------------------- what people do

    def commit(self, files: Mapping[str, str | bytes | None], links: Mapping[str, str] | None = None, message: str = "changed\n") -> str:
        """Write files (None removes one) and symbolic links on top of the branch; returns the commit's id."""
        changed: dict[str, tuple[bytes, str] | None] = {path: _file(content) for path, content in files.items()}
        changed |= {path: (target.encode(), SYMBOLIC_LINK) for path, target in (links or {}).items()}
        merged = {**self.files(), **changed}
        kept = {path: file for path, file in merged.items() if file is not None}
        self._blobs |= {blob_id(content): content for content, _ in kept.values()}
        tree = tree_id(kept)
        self._trees[tree] = kept
        self.branch = commit_id(tree, self.branch, len(self._commits), message)
        self._commits[self.branch] = tree
        self._messages[self.branch] = message
        return self.branch

    def files(self) -> Files:
        """The files of the branch: content and mode by path."""
        return {} if self.branch is None else self._trees[self._commits[self.branch]]

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
        """GitHub has collected a commit that no branch holds any more."""
        del self._commits[commit]

    # ------------------------------------------------------------------------------------------------------------- the port

    async def head(self) -> Head | None:
        async with self._calls.read("repository", "head"):
            return (
                None if self.branch is None else Head(self.branch, self._commits[self.branch], self.protected, self._messages[self.branch])
            )

    async def commit_message(self, sha: str) -> str:
        async with self._calls.read("repository", "commit_message", sha):
            return self._messages[sha] if sha in self._commits else ""

    async def tree(self, sha: str) -> Tree | None:
        async with self._calls.read("repository", "tree", sha):
            files = self._trees.get(self._commits.get(sha, sha))
            if files is None:
                return None
            if self.truncates:
                raise Rejected(f"the tree {sha} has too many files for one answer of GitHub", reason="TreeTruncated")
            if sha not in self._listed:
                self._listed[sha] = {path: Entry(blob_id(content), mode, len(content)) for path, (content, mode) in files.items()}
            return self._listed[sha]

    async def blob(self, sha: str) -> bytes:
        async with self._calls.read("repository", "blob", sha):
            if sha not in self._blobs:
                raise Unavailable(f"GitHub has no blob {sha}", reason="NotFound")
            return self._blobs[sha]

    async def archive(self, commit: str) -> Mapping[str, bytes]:
        async with self._calls.read("repository", "archive", commit):
            if commit not in self._commits:
                raise Unavailable(f"GitHub has no commit {commit}", reason="NotFound")
            files = self._trees[self._commits[commit]]
            return {path: content[:CUT] for path, (content, mode) in files.items() if mode != SYMBOLIC_LINK}


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
    rows += [(f"{name}/", f"40000 {name}\0".encode() + bytes.fromhex(tree_id(inner))) for name, inner in folders.items()]
    return _object_id("tree", b"".join(row for _, row in sorted(rows)))


def commit_id(tree: str, parent: str | None, seconds: int, message: str) -> str:
    """Git's id of a commit that was made so many seconds after 1970."""
    who = f"Ada <ada@contoso.com> {seconds} +0000"
    lines = [f"tree {tree}", *([f"parent {parent}"] if parent else []), f"author {who}", f"committer {who}", "", message]
    return _object_id("commit", "\n".join(lines).encode())


def _object_id(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def _file(content: str | bytes | None) -> tuple[bytes, str] | None:
    if content is None:
        return None
    return (content.encode() if isinstance(content, str) else content), REGULAR
