"""The stages that follow an access change, on one page and in the order in which it travels.

Access changes come from a push (`shared.stages.receive_push`) or a sweep (`shared.stages.sweep`). Each stage
asks what the branch says (`shared.branch.decision`), and most read beside that what they need in any case
(`shared.stages.read_ahead`). It makes its part of Azure agree with the branch, and returns `Done` or
`Waiting`; it raises what cannot be done (`shared.errors`). `shared.stages.settlement` decides what becomes of
the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from shared.app import App
from shared.branch.decision import Decision, decide
from shared.errors import Busy
from shared.messaging.messages import AccessChange, DeliverKeys, Sweep, TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.names import CATALOG_TEAM
from shared.stages import outgoing
from shared.stages.deliver_keys import deliver, withdraw_keys
from shared.stages.provision_catalog import provision_models, read_catalog
from shared.stages.provision_gateway import (
    doubt_marker,
    hold_product,
    leave_held,
    provision_product,
    read_product,
    withdraw_product,
)
from shared.stages.provision_projects import provision_project, read_project, withdraw_project
from shared.stages.provision_workspaces import (
    provision_shared_workspaces,
    provision_team_workspaces,
    read_namespace,
    withdraw_workspaces,
)

#: How often a stage acts when the branch moves while it writes.
MAX_ROUNDS = 3

Act = Callable[[App, Event[TeamMessage], Decision], Awaitable[Outcome]]


async def provision_catalog(app: App, event: Event[AccessChange]) -> Outcome:
    """The unified API, its fragment, its policy and the shared backends, as the catalogue says."""
    if event.message.team != CATALOG_TEAM:
        return Done()
    async with read_catalog(app) as found:
        return await _follow(app, event, partial(provision_models, found=found), _keep)


async def provision_gateway(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's product with its policy and backends. It queues the delivery of keys."""
    if event.message.team == CATALOG_TEAM:
        return Done()
    async with read_product(app, event.message.team) as found:
        return await _follow(
            app,
            event,
            partial(provision_product, found=found),
            partial(withdraw_product, found=found),
            hold_product,
            doubt_marker,
        )


async def provision_workspaces(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's own GPU workspaces, or those of the catalogue for all teams."""
    if app.cluster is None:
        return Done()
    async with read_namespace(app, event.message.team) as found:
        if event.message.team == CATALOG_TEAM:
            return await _follow(app, event, partial(provision_shared_workspaces, found=found), _keep)
        return await _follow(
            app,
            event,
            partial(provision_team_workspaces, found=found),
            partial(withdraw_workspaces, found=found),
        )


async def provision_projects(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's Foundry project, which only its own group may use."""
    if event.message.team == CATALOG_TEAM:
        return Done()
    async with read_project(app, event.message.team) as found:
        return await _follow(
            app, event, partial(provision_project, found=found), partial(withdraw_project, found=found)
        )


async def deliver_keys(app: App, event: Event[DeliverKeys]) -> Outcome:
    """The team's subscription, and its keys in the vault."""
    return await _follow(app, event, deliver, withdraw_keys)


async def _follow(
    app: App,
    event: Event[TeamMessage],
    grant: Act,
    withdraw: Act,
    hold: Act = leave_held,
    leave: Callable[[App, Event[TeamMessage], Decision], Awaitable[None]] | None = None,
) -> Outcome:
    """Act on what the branch says, then read it again: not every write can be fenced, so the stage acts once
    more when the branch moved meanwhile. Raises Busy when it keeps moving.

    `leave` is called where the branch says nothing by which the team's objects could be mended.
    """
    acts = {"active": grant, "ended": withdraw, "held": hold}
    decision = await decide(app, event.message, event.now)
    for rounds in range(MAX_ROUNDS):
        if decision.kind == "stale":
            if leave is not None:
                await leave(app, event, decision)
            if rounds:
                await _queue_sweep(app, event)
            return Done()
        outcome = await acts[decision.kind](app, event, decision)
        if isinstance(outcome, Done) and not outcome.wrote:
            return outcome
        current = await decide(app, event.message, event.now, decision)
        if current.equivalent_to(decision):
            return _with_revision(outcome, decision)
        decision, event = current.after(decision), replace(event, is_retry=True)
    raise Busy("the branch keeps moving", reason="BranchMoving")


def _with_revision(outcome: Outcome, decision: Decision) -> Outcome:
    """Waits for the same revision of a request join into one chain of messages."""
    if isinstance(outcome, Waiting) and decision.blobs:
        return replace(outcome, revision=decision.blobs[0])
    return outcome


async def _queue_sweep(app: App, event: Event[TeamMessage]) -> None:
    """A late write may have overwritten something newer, and this message is about an older state of the
    branch: a sweep finds out what to write instead.
    """
    message = Sweep(why=f"the branch moved while something was written for {event.message.team}")
    await outgoing.ask_for_sweep(app, event, message)


async def _keep(_: App, __: Event[TeamMessage], ___: Decision) -> Outcome:
    """The last valid catalogue stays in force when the branch has none."""
    return Done()
