"""Is everything there that a stage needs? Each remote system is asked one cheap question, side by side;
nobody waits for the slowest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import timedelta

from shared import names
from shared.api.records import Health, Probe
from shared.app import App
from shared.branch.account import Seen
from shared.branch.evaluation import evaluate_all
from shared.branch.review import Baseline
from shared.documents.problem import listed
from shared.errors import MergekeyError, PermanentError, Unavailable

#: So long an answer may take.
PATIENCE = timedelta(seconds=5)
#: How many times as long the account may take, for which all requests are read.
_LONGER = 8


async def check_everything(app: App, patience: timedelta = PATIENCE) -> Health:
    """Roles are tried too: who may not read is told so, with the system's own words."""
    asked = [_probe(app, system, question, patience) for system, question in _questions(app)]
    probes = await asyncio.gather(*asked, _probe(app, "capacity", _capacity(app), patience * _LONGER))
    return Health(all(probe.healthy for probe in probes), tuple(probes))


def _questions(app: App) -> Iterator[tuple[str, Awaitable[object]]]:
    """Secrets of the team that is no team: there are none, and that is an answer. No branch is none: nothing
    can be granted without it.
    """
    secret = names.primary_key_secret(names.CATALOG_TEAM)
    yield "GitHub", _branch(app)
    yield "Service Bus", app.dead_letters.peek(1)
    yield "API Management", app.gateway.api(names.API)
    yield "Key Vault", app.vault.versions(secret)
    yield "role assignments", app.roles.readers_of(secret)
    if app.cluster is not None:
        yield "Kubernetes", app.cluster.namespace(names.namespace(names.CATALOG_TEAM))
    if app.projects is not None:
        yield "Foundry", app.projects.project(names.project(names.CATALOG_TEAM))


async def _capacity(app: App) -> None:
    """Raises when more of a model is in force than may be granted. What keeps it from being read, the other
    questions tell.
    """
    try:
        head = await app.repository.head()
        tree = None if head is None else await app.repository.tree(head.tree)
        if head is None or tree is None:
            return
        reviewed = await evaluate_all(
            app, head.commit, tree, Baseline(today=app.clock.now().date()), Seen(await app.gateway.products())
        )
    except MergekeyError:
        return
    if reviewed.overcommitted:
        models = listed(sorted(reviewed.overcommitted))
        raise PermanentError(
            f"more is in force than may be granted of {models}; see GET /api/models", reason="Overcommitted"
        )


async def _branch(app: App) -> None:
    if await app.repository.head() is None:
        raise Unavailable("the branch of requests is not there", reason="NoBranch")


async def _probe(app: App, system: str, question: Awaitable[object], patience: timedelta) -> Probe:
    began = app.clock.now()
    reason = message = None
    try:
        await asyncio.wait_for(question, patience.total_seconds())
    except MergekeyError as error:
        reason, message = error.reason, error.message
    except TimeoutError:
        reason, message = "NoAnswer", f"no answer within {patience.total_seconds():g} s"
    took = max(app.clock.now() - began, timedelta(0))
    return Probe(system, reason is None, round(took / timedelta(milliseconds=1)), reason, message)
