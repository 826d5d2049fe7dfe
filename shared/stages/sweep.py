"""The sweep compares the branch with Azure and the cluster: differences become access changes, and objects of
others are logged.

Lists and markers show nearly everything. A deep sweep finds the rest (a policy that was edited, a key that
was renewed by hand), at each sweep for another slice of the teams, so that each team's turn comes once a day.
"""

from __future__ import annotations

import asyncio

from shared import telemetry
from shared.app import App
from shared.branch.replacements import due_for, replacement_warnings
from shared.documents.problem import Problem
from shared.inventory.namespaces import going
from shared.inventory.snapshot import Snapshot
from shared.messaging.messages import Sweep
from shared.messaging.outcomes import Done, Event, Outcome
from shared.names import CATALOG_TEAM, FRAGMENT
from shared.policies.product_policy import requested_model_fragment
from shared.ports import OutgoingMessage
from shared.resources.desired import shared_models
from shared.stages.access_changes import held_problems, report
from shared.stages.comparison import Branch, Comparison, compare, observe, platform_notes
from shared.stages.deep_sweep import read_deeply
from shared.stages.due import DueChange, due_changes, with_stages
from shared.stages.outgoing import access_change
from shared.stages.redelivery import redeliver_missed


async def run_sweep(app: App, event: Event[Sweep]) -> Outcome:
    """Queue an access change for every team that is not as the branch says. Where nothing differs nothing is
    written, and no team is read individually.
    """
    head = await app.repository.head()
    (branch, snapshot), _ = await asyncio.gather(
        observe(app, head, event.now), redeliver_missed(app, event.now)
    )
    reviewed, notes = branch.reviewed, await platform_notes(app, branch, snapshot)
    if head is not None and (event.message.verdict or branch.judged.held):
        problems = [
            *reviewed.problems,
            *held_problems(branch.judged),
            *notes,
            *_replacements(app, branch, snapshot),
        ]
        await report(app, head, len(reviewed.requests), problems)
    only = event.message.team
    teams = [each for each in branch.desired_teams if only in ("", each.request.team)]
    deep = await read_deeply(app, reviewed.catalog, teams, snapshot, event)
    found = (await compare(app, branch, snapshot, event.now, notes=notes, deep=deep)).of(only)
    _log(found)
    changes, queued = await _queue_due(app, event, found)
    for failure in (branch.unlisted, *deep.failures):
        # Raised last, so that a team that could not be read keeps no other from being put right.
        if failure is not None:
            raise failure
    note = f"{changes} of {len(reviewed.requests)} teams differ, {queued} messages queued"
    leaving = going(app.platform.repository, snapshot)
    return Done(f"{note}, {leaving} namespaces are being deleted" if leaving else note)


def _log(found: Comparison) -> None:
    for text in found.others:
        telemetry.unmanaged_resource(text)
    for each in found.differences:
        telemetry.found(each.team, each.message)


def _replacements(app: App, branch: Branch, snapshot: Snapshot) -> list[Problem]:
    """Warnings at the catalogue for the workspaces that will be made anew or restarted."""
    catalog, path = branch.reviewed.catalog, app.paths.catalog
    if catalog is None or app.cluster is None:
        return []
    asked = [(each.request.team, each.request.models) for each in branch.desired_teams]
    due = [
        each
        for team, models in (*asked, (CATALOG_TEAM, shared_models(catalog)))
        for each in due_for(team, models, catalog, snapshot.team(team).workspaces.lasting)
    ]
    return replacement_warnings(path, branch.files[path].content, catalog, due)


async def _queue_due(app: App, event: Event[Sweep], found: Comparison) -> tuple[int, int]:
    """Queue the changes whose turn it is. Returns how many there are, and how many messages were queued."""
    # A sweep to which a push was left acts in any case.
    verdict = event.message.verdict
    due = await due_changes(app, found, verdict=verdict)
    if due.portion.waiting:
        telemetry.portioned(due.portion.queued, len(due.portion.waiting))
    for team in due.ending:
        telemetry.ends_by_new_rules(team)
    if app.sweep_report_only and not verdict:
        return len(due.changes), 0
    planned = await with_stages(app, found, due.changes, event.now, verdict=verdict)
    messages = [message for each in planned for message in _messages(app, event, each)]
    await app.bus.send(messages)
    if due.is_first and not event.message.team:
        await app.gateway.put_fragment(FRAGMENT, requested_model_fragment())
    return len(due.changes), len(messages)


def _messages(app: App, event: Event[Sweep], due: DueChange) -> list[OutgoingMessage]:
    if due.to_all:
        return [access_change(app, due.change, event.correlation_id, event.now)]
    return [access_change(app, due.change, event.correlation_id, event.now, stage) for stage in due.stages]
