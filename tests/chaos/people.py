"""What people do meanwhile: teams come, change their minds, leave as far as the guard lets them, and return.
Repeatable by a seed.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from shared.branch.withdrawal_guard import SHARE
from shared.names import CATALOG_TEAM
from tests.end_to_end.written import CATALOG_PATH, GPU, LARGER_GPU, Clone, Request

MODELS = ("gpt-4.1", "gpt-4.1-mini")
_MOST_TOKENS = 90_000


@dataclass(frozen=True)
class Pushed:
    """A commit on the branch, and the teams whose requests it changed; the catalogue counts as one."""

    commit: str
    teams: frozenset[str]


class People:
    """Everybody who writes requests. `present` and `gone` are the teams as the working copy has or had them;
    `left` have ever gone.
    """

    def __init__(self, clone: Clone, seed: int) -> None:
        self.clone = clone
        self.source = random.Random(seed)
        self.present: dict[str, Request] = {}
        self.gone: dict[str, Request] = {}
        self.left: set[str] = set()
        #: Teams whose group changed while they were there.
        self.handed_over: set[str] = set()
        self.pushes: list[Pushed] = []

    def join(self, gpu: str | None = None) -> None:
        """A new team."""
        team = f"crew{self.source.randrange(16**8):08x}"
        self._write(
            Request(
                team,
                self._group(),
                self.source.choice(MODELS),
                self.source.randrange(1000, _MOST_TOKENS),
                gpu,
            )
        )

    def change(self) -> None:
        """Another limit, always; now and then another model, other readers, another GPU or none."""
        before = self.present[self.source.choice(sorted(self.present))]
        after = replace(before, tokens=before.tokens % _MOST_TOKENS + 1)
        match self.source.randrange(8):
            case 0:
                after = replace(after, model=self.source.choice(MODELS))
            case 1:
                after = replace(after, group=self._group())
            case 2:
                after = replace(after, gpu=self.source.choice((None, GPU, LARGER_GPU)))
        self._write(after)

    def hand_over(self, team: str) -> None:
        """Other readers for the team's secrets."""
        self._write(replace(self.present[team], group=self._some_group()))

    def open_playground(self) -> None:
        """A team that is there already gets one, for the group that reads its secrets."""
        without = sorted(team for team, asked in self.present.items() if asked.group and not asked.playground)
        self._write(replace(self.present[self.source.choice(without)], playground=True))

    def close_playground(self) -> None:
        """A team gives up its own; who reads its secrets stays."""
        before = self.present[
            self.source.choice(sorted(team for team, asked in self.present.items() if asked.playground))
        ]
        self._write(replace(before, playground=False))

    def leave(self, team: str | None = None) -> None:
        """A team withdraws, unless so many are gone that the guard would hold it."""
        if (len(self.gone) + 1) * SHARE <= len(self.gone) + len(self.present):
            team = team or self.source.choice(sorted(self.present))
            self.gone[team] = self.present.pop(team)
            self.left.add(team)
            self.clone.remove(team)

    def come_back(self) -> None:
        """A team that has left returns, sometimes in other hands."""
        if self.gone:
            before = self.gone[self.source.choice(sorted(self.gone))]
            self._write(replace(before, group=self._group()) if self.source.random() < 0.3 else before)

    def stir(self, changes: int) -> None:
        """So many things of any kind, most of them changes."""
        deeds = (self.change, self.join, self.leave, self.come_back)
        for deed in self.source.choices(deeds, (6, 2, 2, 2), k=changes):
            deed()

    def change_catalog(self) -> None:
        """Another deployment serves a model."""
        path = self.clone.path / CATALOG_PATH
        path.write_text(
            re.sub(r"gpt-41-mini-\w+", f"gpt-41-mini-{self.source.randrange(10**6)}", path.read_text())
        )

    def push(self) -> Pushed:
        """Commit and push what was done; waits for nothing."""
        commit = self.clone.commit("What people want")
        changed = self.clone.git("show", "--name-only", "--format=", commit).split()
        teams = {PurePosixPath(path).parent.name for path in changed if path.endswith("/access.yaml")}
        pushed = Pushed(commit, frozenset(teams | ({CATALOG_TEAM} if CATALOG_PATH in changed else set())))
        self.pushes.append(pushed)
        self.clone.git("push", "--quiet", "origin", "main")
        return pushed

    def stir_and_push(self, changes: int) -> Pushed:
        self.stir(changes)
        return self.push()

    def _write(self, request: Request) -> None:
        self.gone.pop(request.team, None)
        before = self.present.get(request.team)
        if before is not None and before.group not in (None, request.group):
            self.handed_over.add(request.team)
        self.present[request.team] = request
        self.clone.write(request)

    def _group(self) -> str | None:
        return self._some_group() if self.source.random() < 0.7 else None

    def _some_group(self) -> str:
        return f"5f8d0000-0000-4000-8000-{self.source.randrange(10**12):012d}"
