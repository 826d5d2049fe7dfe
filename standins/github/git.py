"""A bare Git repository, read with the `git` command.

Objects are read through one long-lived `git cat-file --batch` per repository: it answers in well under a
millisecond, and sees what was pushed since it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

#: What Git writes for "no commit": the branch did not exist before, or does not exist any more.
ZEROS = "0" * 40
#: GitHub lists at most so many commits in a push, and so many paths of each kind in a commit.
COMMITS, PATHS = 2048, 3000
#: The tree without entries, which every repository knows: what a first commit is compared with.
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_WORDS = {"A": "added", "D": "removed", "M": "modified", "T": "changed", "R": "renamed", "C": "copied"}

_FIELDS = ("%H", "%T", "%P", "%an", "%ae", "%aI", "%cn", "%ce", "%cI", "%B")
_FORMAT = "%x01" + "%x02".join(_FIELDS) + "%x02"
#: The repository alone decides, not the configuration of whoever runs the tests.
_ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


class GitError(Exception):
    """Git said no; the text is what it wrote to standard error."""


@dataclass(frozen=True)
class Object:
    """An object by its id. `kind` is blob, tree, commit or tag."""

    sha: str
    kind: str
    content: bytes


@dataclass(frozen=True)
class Entry:
    """One entry of a tree; `size` is in bytes and None for anything but a blob."""

    mode: str
    kind: str
    sha: str
    size: int | None
    path: str


@dataclass(frozen=True)
class Person:
    """An author or committer; `date` is ISO 8601."""

    name: str
    email: str
    date: str


@dataclass(frozen=True)
class Commit:
    """A commit with the paths it touched, compared with its first parent."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    modified: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A file that differs between two trees. `sha` is the blob's (what a removed file had), `previous` its
    path before a rename.
    """

    status: str
    path: str
    previous: str | None
    sha: str
    additions: int = 0
    deletions: int = 0


class Repository:
    """The bare repository in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._commits: dict[str, Commit] = {}

    @property
    def exists(self) -> bool:
        return (self.path / "config").exists()

    async def create(self, default_branch: str) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        await self.git("init", "--quiet", "--bare", f"--initial-branch={default_branch}")
        await self.git("config", "gc.auto", "0")

    async def git(self, *arguments: str) -> bytes:
        """What the command printed. Raises `GitError`."""
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=self.path,
            env=_ENVIRONMENT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaint = await process.communicate()
        if process.returncode:
            raise GitError(complaint.decode(errors="replace").strip())
        return output

    async def find(self, name: str) -> Object | None:
        """The object called `name` (an id, a ref, `main^{tree}`, ...), or None."""
        if not name or any(character.isspace() for character in name):
            return None  # one line is one question to cat-file: a name from a URL must not become two
        async with self._turn:
            reader = await self._started()
            assert reader.stdin is not None
            assert reader.stdout is not None
            reader.stdin.write(name.encode() + b"\n")
            await reader.stdin.drain()
            header = (await reader.stdout.readline()).decode().split()
            if len(header) != 3:
                return None
            sha, kind, size = header
            content = await reader.stdout.readexactly(int(size) + 1)
        return Object(sha, kind, content[:-1])

    async def resolve(self, name: str, kind: str) -> str | None:
        """The id of the commit or tree that `name` stands for, or None."""
        found = await self.find(f"{name}^{{{kind}}}")
        return found.sha if found else None

    async def is_empty(self) -> bool:
        return not await self.git("for-each-ref", "--count=1")

    async def entries(self, tree: str, recursive: bool) -> list[Entry]:
        """The entries of a tree in Git's order; with `recursive` those of its subtrees too."""
        options = ("-r", "-t") if recursive else ()
        output = await self.git("ls-tree", "-z", "-l", *options, tree)
        return [_entry(line) for line in output.decode(errors="surrogateescape").split("\0") if line]

    async def archive(self, commit: str, folder: str) -> bytes:
        """A .tar.gz whose paths start with `folder`/."""
        return await self.git("archive", "--format=tar.gz", f"--prefix={folder}/", commit)

    async def commits(self, *revisions: str, limit: int = COMMITS) -> list[Commit]:
        """The newest commits of the revisions, oldest first."""
        options = (
            "-z",
            "--reverse",
            "--no-renames",
            "--name-status",
            "--diff-merges=first-parent",
            f"--max-count={limit}",
        )
        output = await self.git("log", *options, f"--format={_FORMAT}", *revisions, "--")
        return [_commit(record) for record in output.decode(errors="replace").split("\x01")[1:]]

    async def commit(self, sha: str) -> Commit:
        """The commit with this id. It never changes, and the branch's head is asked for all the time: each is
        read once.
        """
        if sha not in self._commits:
            (self._commits[sha],) = await self.commits(sha, limit=1)
        return self._commits[sha]

    async def history(self, commit: str, path: str) -> list[str]:
        """The ids of a commit and those before it, newest first; of those only who changed `path`, unless
        that is empty.
        """
        paths = [path] if path else []
        return (await self.git("--literal-pathspecs", "rev-list", commit, "--", *paths)).decode().split()

    async def between(self, base: str, head: str) -> list[str]:
        """The ids of the commits that `head` has and `base` has not, oldest first."""
        return (await self.git("rev-list", "--reverse", head, "--not", base)).decode().split()

    async def merge_base(self, one: str, other: str) -> str | None:
        try:
            return (await self.git("merge-base", one, other)).decode().strip()
        except GitError:
            return None

    async def changes(self, old: str, new: str) -> list[Change]:
        """What differs between two commits or trees, in the order of paths."""
        output = await self.git("diff-tree", "-r", "-z", "-M", "--raw", "--numstat", old, new)
        return _changes(output.decode(errors="surrogateescape"))

    async def is_ancestor(self, old: str, new: str) -> bool:
        try:
            await self.git("merge-base", "--is-ancestor", old, new)
        except GitError:
            return False
        return True

    async def close(self) -> None:
        if self._reader is not None and self._reader.returncode is None:
            assert self._reader.stdin is not None
            self._reader.stdin.close()
            with contextlib.suppress(ProcessLookupError):
                self._reader.terminate()
            await self._reader.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._reader is None or self._reader.returncode is not None:
            self._reader = await asyncio.create_subprocess_exec(
                "git",
                "cat-file",
                "--batch",
                cwd=self.path,
                env=_ENVIRONMENT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        return self._reader


def _entry(line: str) -> Entry:
    head, _, path = line.partition("\t")
    mode, kind, sha, size = head.split()
    return Entry(mode, kind, sha, None if size == "-" else int(size), path)


def _commit(record: str) -> Commit:
    *fields, rest = record.split("\x02")
    sha, tree, parents, *people, message = fields
    words = rest.strip("\0\n").split("\0")
    paths: dict[str, list[str]] = {"A": [], "D": [], "M": [], "T": []}
    for status, path in zip(words[::2], words[1::2], strict=False):
        paths[status].append(path)
    return Commit(
        sha,
        tree,
        tuple(parents.split()),
        Person(*people[:3]),
        Person(*people[3:]),
        message.strip("\n"),
        tuple(paths["A"][:PATHS]),
        tuple(paths["D"][:PATHS]),
        tuple((paths["M"] + paths["T"])[:PATHS]),
    )


def _changes(output: str) -> list[Change]:
    """Of `--raw --numstat -z`: first a record of each file that says what it is now, then one with the lines
    that changed.
    """
    words = iter(output.split("\0"))
    found: dict[str, Change] = {}
    for word in words:
        if word.startswith(":"):
            _, _, old, new, letter = word.split()
            previous = next(words) if letter[0] in "RC" else None
            path = next(words)
            found[path] = Change(_WORDS[letter[0]], path, previous, old if new == ZEROS else new)
        elif word:
            additions, deletions, path = word.split("\t")
            path = path or [next(words), next(words)][1]
            found[path] = replace(found[path], additions=_lines(additions), deletions=_lines(deletions))
    return list(found.values())


def _lines(count: str) -> int:
    """A dash stands for a binary file."""
    return 0 if count == "-" else int(count)
