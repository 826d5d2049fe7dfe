"""The changes that a sweep queues, by its comparison, and the stages to which they go. Nothing is written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from shared import telemetry
from shared.app import App
from shared.branch.states import TeamState
from shared.errors import LabelLost, NotManaged
from shared.inventory.dead_letters import letters
from shared.inventory.differences import (
    Difference,
    repaired_teams,
)
from shared.inventory.namespaces import labelled
from shared.inventory.snapshot import Snapshot
from shared.marker import NOWHERE
from shared.messaging.dead_letters import Letter, Trouble
from shared.messaging.messages import AccessChange
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    Stage,
)
from shared.names import CATALOG_TEAM
from shared.stages.access_changes import catalog_change, change_of, idle_stages
from shared.stages.comparison import Branch, Comparison
from shared.stages.upgrade import Portion, is_first_sweep, portion

#: The stages of the topic that have work for the catalogue, and for a team.
OF_CATALOG = (PROVISION_CATALOG, PROVISION_WORKSPACES)
OF_TEAM = (PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS)
#: The gateway's stage queues the delivery of keys: while that one has a dead letter, nothing is sent there.
QUEUED_BY = {DELIVER_KEYS.name: PROVISION_GATEWAY.name}


@dataclass(frozen=True, slots=True)
class DueChange:
    """A change with the stages to which it goes: one message to all of them, or one to each of `stages`.
    `blocked` are the stages that are left out because the same change waits there as a dead letter.
    """

    change: AccessChange
    to_all: bool
    stages: tuple[Stage, ...]
    blocked: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """The changes whose turn it is; `portion` are the teams that a release alone makes differ, and `ending`
    those whose access the first sweep after an upgrade would end: both are left to a later sweep.
    """

    changes: tuple[AccessChange, ...]
    portion: Portion
    ending: tuple[str, ...]
    is_first: bool


@dataclass(frozen=True, slots=True)
class Curable:
    """The teams whose namespaces can be written although there is a dead letter: a letter about an object of
    others keeps nothing else from being `repaired`, one about a lost label nothing where the label is back.
    """

    repaired: Container[str]
    labelled: Container[str]

    def goes_on_beside(self, letter: Letter) -> bool:
        if letter.stage != PROVISION_WORKSPACES.name:
            return False
        if letter.reason == LabelLost.reason:
            return letter.team in self.labelled
        return letter.reason == NotManaged.reason and letter.team in self.repaired


async def due_changes(app: App, found: Comparison, *, verdict: bool) -> Due:
    """The changes of a sweep, by its comparison. One to which a push was left (`verdict`) holds nothing back
    for being the first after an upgrade.
    """
    branch, differences = found.branch, found.differences
    is_first = is_first_sweep(found.snapshot) and not verdict
    left = await portion(app, branch.tree, branch.teams.values(), differences)
    changes = [each for each in _changes(app, branch, differences) if each.team not in left.waiting]
    ending = tuple(each.team for each in changes if is_first and _would_end(branch, each.team))
    return Due(tuple(each for each in changes if each.team not in ending), left, ending, is_first)


async def with_stages(
    app: App, found: Comparison, changes: Iterable[AccessChange], now: datetime, *, verdict: bool
) -> list[DueChange]:
    """The changes with their stages: without those that have nothing of the team, and without those where the
    same change waits as a dead letter. A sweep to which a push was left looks for no letters.
    """
    chosen = list(changes)
    idle = _idle_stages(found.branch, found.snapshot, chosen)
    curable = Curable(
        repaired_teams(found.differences, found.snapshot),
        labelled(app.platform.repository, found.snapshot),
    )
    trouble: set[Trouble] = set()
    if chosen and not verdict:
        trouble = {
            letter.trouble
            async for letter in letters(app)
            if letter.stands(now) and not curable.goes_on_beside(letter)
        }
    return [_with_stages(change, trouble, idle[change.team]) for change in chosen]


def _would_end(branch: Branch, team: str) -> bool:
    """Whether the change would end the team's access."""
    found = branch.teams.get(team)
    return not (found is None or found.mark in ("withdrawn", "none") or found.action.startswith("grant"))


def _idle_stages(
    branch: Branch, snapshot: Snapshot, changes: Iterable[AccessChange]
) -> dict[str, frozenset[str]]:
    """By team, the stages that have nothing to do for it."""
    return {change.team: idle_stages(branch.teams.get(change.team), snapshot) for change in changes}


def _with_stages(change: AccessChange, trouble: Container[Trouble], idle: frozenset[str]) -> DueChange:
    """One message to all stages; where some of them have nothing to do, or a dead letter about the change,
    one to each of the others that has work for the team. A change "held" concerns the product only.
    """
    if change.change == "held":
        return DueChange(change, to_all=False, stages=(PROVISION_GATEWAY,))
    blocked = {
        QUEUED_BY.get(stage.name, stage.name)
        for stage in (*OF_CATALOG, *OF_TEAM, DELIVER_KEYS)
        if (change.team, change.revision, stage.name) in trouble
    }
    stages = OF_CATALOG if change.team == CATALOG_TEAM else OF_TEAM
    return DueChange(
        change,
        to_all=not (blocked or idle),
        stages=tuple(stage for stage in stages if stage.name not in blocked | idle),
        blocked=tuple(stage for stage in stages if stage.name in blocked),
    )


def _changes(app: App, branch: Branch, findings: Iterable[Difference]) -> Iterator[AccessChange]:
    """One change per team, whatever the number of its findings."""
    teams: set[str] = set()
    for finding in findings:
        if finding.team not in teams:
            teams.add(finding.team)
            try:
                yield _change(app, branch, finding.team).model_copy(update={"cause": "sweep"})
            except ValidationError:
                telemetry.not_queued(finding.team)


def _change(app: App, branch: Branch, team: str) -> AccessChange:
    """Raises ValidationError for a path or a team that does not fit into a message."""
    if team == CATALOG_TEAM:
        assert branch.head is not None
        return catalog_change(app, branch.tree, branch.head, branch.files)
    found, entry = branch.teams[team], branch.tree.get(branch.teams[team].path)
    commit, granted = _commits(branch, found)
    if found.action.endswith("?") and branch.judged.holds(team):
        return AccessChange(change="held", team=team, path=found.path, commit=commit)
    if entry is None or _is_no_request(branch, found):
        return AccessChange(change="withdrawn", team=team, path=found.path, commit=commit, granted=granted)
    if found.request is not None and branch.head is not None and found.action.startswith("grant"):
        return change_of(team, found.path, branch.head, entry.blob, branch.files[found.path])
    return AccessChange(change="requested", team=team, path=found.path, commit=commit, blob=entry.blob)


def _is_no_request(branch: Branch, found: TeamState) -> bool:
    """Whether what lies at the team's path is no request. Without a valid catalogue that counts where the
    access is over by its day: while other teams' requests alone spoil the catalogue, the team's stages, which
    read its own files, find it valid, and a message about a request would concern nothing.
    """
    if found.files in ("gone", "no_request"):
        return True
    return found.action == "freeze" and branch.reviewed.teams_by_path.get(found.path) != found.team


def _commits(branch: Branch, found: TeamState) -> tuple[str, str]:
    """The head of the branch, or a commit in its place where there is none, and the commit from which the
    team's access was granted.
    """
    granted = found.marker.commit if found.marker is not None else ""
    return (branch.head.commit if branch.head is not None else granted or NOWHERE), granted
