"""What operators do with dead letters: list, show, replay, discard.

Whatever is replayed is sent first and taken out of the list afterwards, so that nothing is lost whenever this
ends; who repeats it repeats the id. Only letters whose numbers were named are touched: what came later was
not seen by anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

from shared import names, telemetry
from shared.app import App
from shared.errors import MergekeyError
from shared.inventory.dead_letters import letters, numbered
from shared.marker import Marker
from shared.messaging.dead_letters import Filter, Group, Letter, grouped, refusal, team_of
from shared.messaging.messages import content_type, escape_surrogates
from shared.messaging.retry_state import RetryState, bounded_id
from shared.messaging.routes import STAGES, Stage
from shared.ports import OutgoingMessage
from shared.stages.sweep import unsettled_teams

_STAGES = {stage.name: stage for stage in STAGES}
_NOT_THERE = "no dead letter has this number, or none any more"


@dataclass(frozen=True, slots=True)
class Listing:
    """Some letters that the filter takes. `following` is where the next page begins, None at the end.

    `groups` are of all letters that the filter takes; None on later pages.
    """

    letters: tuple[Letter, ...]
    following: int | None
    groups: tuple[Group, ...] | None


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants done. `by` is who, for the log; without `dry_run` it is done."""

    sequences: Sequence[int]
    by: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one letter. `gone`: it is not there any more, or never was. `ready`: it would be done.

    `skipped`: it was not meant. `untried`: another failed before it.
    """

    sequence: int
    outcome: Literal["replayed", "discarded", "ready", "gone", "skipped", "refused", "failed", "untried"]
    why: str = ""


Act = Callable[[Letter], Awaitable[Answer]]


async def listing(app: App, wanted: Filter, first: int, most: int) -> Listing:
    """A page from a number on; with the groups of all when it is the first. Bodies are left out: `show` gives
    one.
    """
    found: list[Letter] = []
    async for letter in letters(app, first):
        if wanted.takes(letter):
            found.append(replace(letter, body=b""))
        if first > 1 and len(found) > most:
            break
    following = found[most].sequence if len(found) > most else None
    return Listing(tuple(found[:most]), following, tuple(grouped(found)) if first <= 1 else None)


async def show(app: App, sequence: int) -> Letter | None:
    return (await numbered(app, [sequence])).get(sequence)


async def converged(app: App, found: Sequence[Letter]) -> frozenset[int]:
    """The numbers of those whose team has everything that the branch grants it by now. Reads all systems."""
    unsettled = await unsettled_teams(app, app.clock.now())
    return frozenset(
        letter.sequence
        for letter in found
        if unsettled is not None and team_of(letter) and letter.team not in unsettled
    )


async def replay(app: App, order: Order) -> list[Answer]:
    """Send each to the one stage that failed, in the order in which they came, so that sessions keep
    theirs.
    """

    async def act(letter: Letter) -> Answer:
        stage, why = _STAGES.get(letter.stage), refusal(letter)
        if stage is None or why is not None:
            return Answer(letter.sequence, "refused", why or f"there is no stage {letter.stage!r}")
        if order.dry_run:
            return Answer(letter.sequence, "ready", f"goes to {stage.name}, replay {letter.replays + 1}")
        async with _taken(app, letter.sequence) as there:
            if not there:
                return Answer(letter.sequence, "gone", _NOT_THERE)
            await app.bus.send([replay_of(letter, stage)])
            telemetry.replayed(order.by, letter)
        return Answer(letter.sequence, "replayed", f"to {stage.name}")

    return await _one_after_another(app, order, act)


async def discard(app: App, order: Order, why: str, only_converged: bool = False) -> list[Answer]:
    """Take each out of the list for good. The team is looked at anew by the next sweep, unless it was found
    converged just now.
    """
    known = (
        await converged(app, list((await numbered(app, order.sequences)).values()))
        if only_converged
        else None
    )

    async def act(letter: Letter) -> Answer:
        if known is not None and letter.sequence not in known:
            return Answer(letter.sequence, "skipped", "its team is not known to have converged")
        if order.dry_run:
            return Answer(letter.sequence, "ready")
        async with _taken(app, letter.sequence) as there:
            if not there:
                return Answer(letter.sequence, "gone", _NOT_THERE)
            if known is None:
                await _have_looked_at(app, team_of(letter))
            telemetry.discarded(order.by, letter, why)
        return Answer(letter.sequence, "discarded")

    return await _one_after_another(app, order, act)


def replay_of(letter: Letter, stage: Stage) -> OutgoingMessage:
    """The message as it was, for the one stage. Attempts start anew; copies are numbered on, so that none has
    the id of an earlier one.
    """
    trail = RetryState(
        bounded_id(escape_surrogates(letter.correlation_id)), letter.hop, replays=letter.replays + 1
    )
    return OutgoingMessage(
        entity=stage.entity,
        message_id=bounded_id(escape_surrogates(letter.replay_id)),
        body=letter.body,
        session=letter.session,
        to=stage.to,
        properties=trail.properties(),
        content_type=content_type(letter.body),
    )


@asynccontextmanager
async def _taken(app: App, sequence: int) -> AsyncIterator[bool]:
    """Held inside, taken out of the list at the end, given back when something goes wrong. False when it is
    gone.
    """
    if await app.dead_letters.lock(sequence) is None:
        yield False
        return
    try:
        yield True
    except MergekeyError:
        with suppress(MergekeyError):  # it comes back by itself too, only later
            await app.dead_letters.release(sequence)
        raise
    await app.dead_letters.complete(sequence)


async def _one_after_another(app: App, order: Order, act: Act) -> list[Answer]:
    """After a failure nothing more is tried: a later letter of the same session must not overtake."""
    found = await numbered(app, order.sequences)
    answers: list[Answer] = []
    for sequence in sorted(set(order.sequences)):
        if answers and answers[-1].outcome in ("failed", "untried"):
            answers.append(Answer(sequence, "untried"))
            continue
        try:
            answers.append(
                await act(found[sequence]) if sequence in found else Answer(sequence, "gone", _NOT_THERE)
            )
        except MergekeyError as error:
            answers.append(Answer(sequence, "failed", str(error)))
    return answers


async def _have_looked_at(app: App, team: str | None) -> None:
    """A product whose marker vouches for nothing is looked at by the next sweep. One that is not finished is
    so anyway, and what the catalogue has in the gateway every sweep sees.
    """
    product = None if team is None else await app.gateway.product(names.product(team))
    marker = None if product is None else product.marker
    if (
        product is None
        or marker is None
        or not marker.digest
        or not Marker(app.platform.repository, team or "", "", "").owns(marker)
    ):
        return
    await app.gateway.publish_product(product.name, product.etag, product.display_name, marker.unfinished())
