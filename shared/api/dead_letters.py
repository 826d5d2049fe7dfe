"""The operations on dead letters: list, show, replay and discard.

A replayed letter is sent first and removed from the list afterwards, so that no crash loses it; a repeated
replay has the same message id. Only letters with given numbers are touched: the operator has not seen later
ones.
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
from shared.stages.comparison import unsettled_teams

_STAGES = {stage.name: stage for stage in STAGES}
_NOT_THERE = "there is no dead letter with this number (any more)"


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the letters that match the filter. `following` is the number at which the next page begins,
    None on the last page.

    `groups` count all letters that match the filter; None on later pages.
    """

    letters: tuple[Letter, ...]
    following: int | None
    groups: tuple[Group, ...] | None


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's command. `by` is the operator's name, for the log; a `dry_run` changes nothing."""

    sequences: Sequence[int]
    by: str
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The result for one letter. `gone`: no letter has this number (any more). `ready`: a dry run found that
    the command can be done. `skipped`: the command does not apply to it. `untried`: an earlier letter failed.
    """

    sequence: int
    outcome: Literal["replayed", "discarded", "ready", "gone", "skipped", "refused", "failed", "untried"]
    why: str = ""


Step = Callable[[Letter], Awaitable[Answer]]


async def listing(app: App, selected: Filter, first: int, limit: int) -> Listing:
    """The page that begins at a number; the first page has the groups of all letters. Bodies are left out:
    `show` returns them.
    """
    found: list[Letter] = []
    async for letter in letters(app, first):
        if selected.takes(letter):
            found.append(replace(letter, body=b""))
        if first > 1 and len(found) > limit:
            break
    following = found[limit].sequence if len(found) > limit else None
    return Listing(tuple(found[:limit]), following, tuple(grouped(found)) if first <= 1 else None)


async def show(app: App, sequence: int) -> Letter | None:
    return (await numbered(app, [sequence])).get(sequence)


async def converged(app: App, found: Sequence[Letter]) -> frozenset[int]:
    """The numbers of the letters whose team has converged since: everything is as the branch says. It reads
    all systems.
    """
    unsettled = await unsettled_teams(app, app.clock.now())
    return frozenset(
        letter.sequence
        for letter in found
        if unsettled is not None and team_of(letter) and letter.team not in unsettled
    )


async def replay(app: App, command: Command) -> list[Answer]:
    """Send each letter to the stage that failed, in the order of the numbers, so that the order within a
    session is kept.
    """

    async def act(letter: Letter) -> Answer:
        stage, why = _STAGES.get(letter.stage), refusal(letter)
        if stage is None or why is not None:
            return Answer(letter.sequence, "refused", why or f"there is no stage {letter.stage!r}")
        if command.dry_run:
            return Answer(letter.sequence, "ready", f"goes to {stage.name}, replay {letter.replays + 1}")
        async with _locked(app, letter.sequence) as there:
            if not there:
                return Answer(letter.sequence, "gone", _NOT_THERE)
            await app.bus.send([replay_of(letter, stage)])
            telemetry.replayed(command.by, letter)
        return Answer(letter.sequence, "replayed", f"to {stage.name}")

    return await _one_after_another(app, command, act)


async def discard(app: App, command: Command, why: str, only_converged: bool = False) -> list[Answer]:
    """Remove each letter from the list. The next sweep compares its team anew, unless the team was just found
    to have converged.
    """
    known = (
        await converged(app, list((await numbered(app, command.sequences)).values()))
        if only_converged
        else None
    )

    async def act(letter: Letter) -> Answer:
        if known is not None and letter.sequence not in known:
            return Answer(letter.sequence, "skipped", "its team is not known to have converged")
        if command.dry_run:
            return Answer(letter.sequence, "ready")
        async with _locked(app, letter.sequence) as there:
            if not there:
                return Answer(letter.sequence, "gone", _NOT_THERE)
            if known is None:
                await _invalidate_digest(app, team_of(letter))
            telemetry.discarded(command.by, letter, why)
        return Answer(letter.sequence, "discarded")

    return await _one_after_another(app, command, act)


def replay_of(letter: Letter, stage: Stage) -> OutgoingMessage:
    """The original message, addressed to one stage. Attempts are counted from the start; replays are
    numbered, so that each has a new message id.
    """
    state = RetryState(
        bounded_id(escape_surrogates(letter.correlation_id)), letter.hop, replays=letter.replays + 1
    )
    return OutgoingMessage(
        entity=stage.entity,
        message_id=bounded_id(escape_surrogates(letter.replay_id)),
        body=letter.body,
        session=letter.session,
        to=stage.to,
        properties=state.properties(),
        content_type=content_type(letter.body),
    )


@asynccontextmanager
async def _locked(app: App, sequence: int) -> AsyncIterator[bool]:
    """Lock the letter; remove it from the list at the end, or release it after an error. Yields False if the
    letter does not exist any more.
    """
    if await app.dead_letters.lock(sequence) is None:
        yield False
        return
    try:
        yield True
    except MergekeyError:
        with suppress(MergekeyError):  # The lock also expires by itself, only later.
            await app.dead_letters.release(sequence)
        raise
    await app.dead_letters.complete(sequence)


async def _one_after_another(app: App, command: Command, act: Step) -> list[Answer]:
    """Process the letters in order, and stop after a failure: a later letter of the same session must not
    overtake an earlier one.
    """
    found = await numbered(app, command.sequences)
    answers: list[Answer] = []
    for sequence in sorted(set(command.sequences)):
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


async def _invalidate_digest(app: App, team: str | None) -> None:
    """Empty the digest of the product's marker, so that the next sweep compares the team. Unfinished
    products, and the catalogue's own objects, are compared by every sweep anyway.
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
