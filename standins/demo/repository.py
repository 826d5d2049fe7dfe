"""A person's clone of the repository of requests: edit, commit, push with plain git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_IDENTITY = {"user.name": "Demo", "user.email": "demo@example.com", "commit.gpgsign": "false"}


class Clone:
    """A clone in `folder`; `git_url` is the bare repository behind the GitHub stand-in."""

    def __init__(self, git_url: str, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            subprocess.run(["git", "clone", "--quiet", git_url, str(folder)], check=True, capture_output=True)
            # Who tries it may have no name in git yet.
            for name, value in _IDENTITY.items():
                self._git("config", name, value)

    def fill(self, example: Path) -> None:
        """Start from the example repository."""
        shutil.copytree(example, self.folder, dirs_exist_ok=True)

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        if old not in text:
            raise ValueError(f"{path} does not hold {old!r}")
        (self.folder / path).write_text(text.replace(old, new))

    def remove(self, path: str) -> None:
        (self.folder / path).unlink()

    def push(self, message: str) -> str:
        """Commit everything and push; returns the commit."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", "origin", "HEAD:main")
        return self.head()

    def head(self) -> str:
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()
