"""The stages that follow an access change, on one page and in the order in which it travels.

Access changes come from a push (`shared.stages.receive_push`) or a sweep (`shared.stages.sweep`). Each stage
asks what the branch says (`shared.branch.decision`), makes its part of Azure agree with that, and returns
`Done` or `Waiting`; it raises what cannot be done (`shared.errors`). `shared.stages.settlement` decides what
becomes of the message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from shared.app import App
from shared.branch.decision import Decision, decide
from shared.errors import Busy
from shared.messaging.messages import CATALOG_TEAM, AccessChange, DeliverKeys, Sweep, TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.stages import outgoing
from shared.stages.deliver_keys import deliver, withdraw_keys
from shared.stages.provision_catalog import provision_models
from shared.stages.provision_gateway import hold_product, leave_held, provision_product, withdraw_product
from shared.stages.provision_projects import provision_project, withdraw_project
from shared.stages.provision_workspaces import (
    provision_shared_workspaces,
    provision_team_workspaces,
    withdraw_workspaces,
)

#: How often a stage starts anew because the branch moved while it wrote.
ROUNDS = 3

Act = Callable[[App, Event[TeamMessage], Decision], Awaitable[Outcome]]


async def provision_catalog(app: App, event: Event[AccessChange]) -> Outcome:
    """The unified API, its fragment, its policy and the shared backends, as the catalogue says."""
    if event.message.team != CATALOG_TEAM:
        return Done()
    return await _follow(app, event, provision_models, _keep)


async def provision_gateway(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's product with its policy and backends; keys are asked for as soon as the product stands."""
    if event.message.team == CATALOG_TEAM:
        return Done()
    return await _follow(app, event, provision_product, withdraw_product, hold_product)


async def provision_workspaces(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's own GPU workspaces, or those of the catalogue for all teams. Waiting for a node is a result,
    not an error.
    """
    if app.cluster is None:
        return Done()
    if event.message.team == CATALOG_TEAM:
        return await _follow(app, event, provision_shared_workspaces, _keep)
    return await _follow(app, event, provision_team_workspaces, withdraw_workspaces)


async def provision_projects(app: App, event: Event[AccessChange]) -> Outcome:
    """The team's Foundry project, which only its own group may use."""
    if event.message.team == CATALOG_TEAM:
        return Done()
    return await _follow(app, event, provision_project, withdraw_project)


async def deliver_keys(app: App, event: Event[DeliverKeys]) -> Outcome:
    """The team's subscription, and its keys in the vault."""
    return await _follow(app, event, deliver, withdraw_keys)


async def _follow(
    app: App, event: Event[TeamMessage], grant: Act, withdraw: Act, hold: Act = leave_held
) -> Outcome:
    """Act on what the branch says, then look again: not every write can be fenced, so a branch that moved
    meanwhile is followed.
    """
    decision = await decide(app, event.message, event.now)
    for rounds in range(ROUNDS):
        match decision.verdict:
            case "superseded":
                if rounds:
                    await _have_looked_at(app, event)
                return Done()
            case "held":
                outcome = await hold(app, event, decision)
            case "wanted":
                outcome = await grant(app, event, decision)
            case "ended":
                outcome = await withdraw(app, event, decision)
        if isinstance(outcome, Done) and not outcome.wrote:
            return outcome
        again = await decide(app, event.message, event.now)
        if again.same_as(decision):
            return (
                replace(outcome, revision=decision.blobs[0])
                if isinstance(outcome, Waiting) and decision.blobs
                else outcome
            )
        decision, event = again.after(decision), replace(event, again=True)
    raise Busy("the branch keeps moving", reason="BranchMoving")


async def _have_looked_at(app: App, event: Event[TeamMessage]) -> None:
    """What was written came too late, and this message cannot say what to write instead: a request that went,
    or one that came back.
    """
    again = Sweep(why=f"the branch moved while something was written for {event.message.team}")
    await app.bus.send(
        [outgoing.sweep(app, again, f"{event.root}/sweep/{int(event.now.timestamp())}", event.now)]
    )


async def _keep(_: App, __: Event[TeamMessage], ___: Decision) -> Outcome:
    """A catalogue that is gone changes nothing: the last valid one stays in force."""
    return Done()
