"""What people write: requests, the catalogue, and a clone of the repository to push them from, with the real
`git`.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

CATALOG_PATH = "platform/config/model_catalog.yaml"
GPU, LARGER_GPU = "Standard_NC24ads_A100_v4", "Standard_NC48ads_A100_v4"
#: The configuration of whoever runs the tests does not count.
_ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def new_team(word: str = "team") -> str:
    """A name that no other test uses."""
    return f"{word.rstrip('-')}x{uuid.uuid4().hex[:8]}"


def path_of(team: str) -> str:
    return f"tenant-access/config/{team}/access.yaml"


@dataclass(frozen=True)
class Request:
    """The fields that tests vary; `gpu` is the instance type of a workspace of the team's own."""

    team: str
    group: str | None = None
    model: str = "gpt-4.1-mini"
    tokens: int = 5000
    gpu: str | None = None
    playground: bool = False

    def __str__(self) -> str:
        group = f", entraGroup: {self.group}" if self.group else ""
        lines = [
            f"team: {{name: {self.team}, owner: {self.team}@contoso.com{group}}}",
            "models:",
            "  foundry:",
        ]
        lines.append(f"    - {{name: {self.model}, tokensPerMinute: {self.tokens}}}")
        if self.gpu:
            lines += ["  kaito:", f"    - {{name: phi-4, dedicated: true, instanceType: {self.gpu}}}"]
        if self.playground:
            lines.append("features: {playgroundAccess: true, tracingEnabled: true}")
        return "\n".join(lines) + "\n"


class Clone:
    """A working copy of the repository of requests."""

    def __init__(self, url: str, path: Path) -> None:
        self.path = path
        subprocess.run(
            ["git", "clone", "--quiet", url, str(path)], check=True, capture_output=True, env=_ENVIRONMENT
        )
        self.git("checkout", "-B", "main")

    def git(self, *arguments: str) -> str:
        person = ["-c", "user.name=Ada", "-c", "user.email=ada@contoso.com"]
        done = subprocess.run(
            ["git", *person, *arguments],
            cwd=self.path,
            check=True,
            capture_output=True,
            text=True,
            env=_ENVIRONMENT,
        )
        return done.stdout.strip()

    def write(self, *requests: Request) -> None:
        for request in requests:
            self.write_text(path_of(request.team), str(request))

    def write_text(self, path: str, text: str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def remove(self, *teams: str) -> None:
        for team in teams:
            (self.path / path_of(team)).unlink()

    def commit(self, message: str) -> str:
        """Commit whatever differs; returns the id of the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")
