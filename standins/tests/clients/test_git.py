"""The stand-in for GitHub, used with plain git."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
import uuid
from pathlib import Path

import pytest

from standins.tests.plugin import StandIns

GIT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@contoso.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@contoso.com",
}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env=GIT, check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


def commit(clone: Path, text: str) -> str:
    """One file with this text; answers the commit."""
    (clone / "access.yaml").write_text(text)
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message", text)
    return git(clone, "rev-parse", "HEAD")


@pytest.fixture
def remote(standins: StandIns) -> str:
    """Where a new repository is cloned from."""
    url = f"{standins.addresses['github']}/_standin/repositories/contoso/clients-{uuid.uuid4().hex[:8]}"
    with urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="PUT"), timeout=120) as answer:
        return str(json.load(answer)["git_url"])


def test_what_one_clone_pushes_another_pulls(remote: str, tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        git(tmp_path, "clone", "--quiet", remote, name)
    head = commit(tmp_path / "ada", "of Ada")
    git(tmp_path / "ada", "push", "--quiet", "origin", "HEAD:main")
    git(tmp_path / "ben", "pull", "--quiet", "origin", "main")
    assert git(tmp_path / "ben", "rev-parse", "HEAD") == head
    assert (tmp_path / "ben" / "access.yaml").read_text() == "of Ada"


def test_a_push_that_would_lose_another_one_is_rejected(remote: str, tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        git(tmp_path, "clone", "--quiet", remote, name)
        commit(tmp_path / name, f"of {name}")
    git(tmp_path / "ada", "push", "--quiet", "origin", "HEAD:main")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        git(tmp_path / "ben", "push", "--quiet", "origin", "HEAD:main")
    assert "rejected" in refused.value.stderr
