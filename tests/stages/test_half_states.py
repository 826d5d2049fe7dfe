"""A process may die before or after any write. Whoever comes next brings everything to the same end.

Each run tries a third of the writes, and the next day the next third; with MERGEKEY_THOROUGH=1, as in
`make simulate`, all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from shared.messaging.outcomes import Push
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.receive_push import queue_changes
from shared.stages.settlement import start_sweep
from standins.tests.plugin import THOROUGH
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, Asked, FakeApp, catalog_text, path_of
from tests.stages.road import Kill, Killed, a_platform, a_team, ask, later, withdraw, world

Start = Callable[[FakeApp], Awaitable[object]]
SETTLED, HANDED_OVER = timedelta(minutes=4), timedelta(hours=25)
#: Every how many writes a process dies, and the first of them.
EVERY = 1 if THOROUGH else 3
FIRST = datetime.now(UTC).toordinal() % EVERY


def _in_a_hurry(app: FakeApp) -> FakeApp:
    """GPUs that come at once: the waiting itself is told elsewhere."""
    assert app.cluster is not None
    app.cluster.nodes_take = app.cluster.models_take = app.cluster.going_takes = timedelta(seconds=20)
    return app


async def _told(app: FakeApp, start: Start, settled: timedelta) -> dict[str, object]:
    await start(app)
    await later(app, settled)
    return world(app)


async def _told_with_a_kill(
    app: FakeApp, steps: tuple[Start, Start], index: int, when: str
) -> tuple[dict[str, object], bool]:
    """The end of the story when the process dies at one write and a new one takes over; and whether there was
    such a write.

    A webhook that failed is redelivered under its id; a message that was not completed is delivered again.
    """
    kill = Kill(app, index, when)
    for step in steps:
        try:
            await step(app)
        except Killed:
            kill.restart()
            await step(app)
    await steps[-1](app)
    return world(app), kill.done


async def _every_kill_ends_the_same(begin: FakeApp, start: Start, settled: timedelta = SETTLED) -> int:
    """Kill before and after each write whose turn it is, until the story has no more. Returns the number of
    the first that was none.
    """

    async def settle(app: FakeApp) -> None:
        await later(app, settled)

    expected = await _told(_in_a_hurry(deepcopy(begin)), start, settled)
    for index in count(FIRST, EVERY):
        for when in ("before", "after"):
            found, killed = await _told_with_a_kill(
                _in_a_hurry(deepcopy(begin)), (start, settle), index, when
            )
            assert found == expected, f"killed {when} write {index}"
        if not killed:
            return index
    raise AssertionError("there is always another number")


def _merge(app: FakeApp, files: dict[str, str | bytes | None]) -> Start:
    """Files are merged on the branch; what follows is the webhook's call."""
    push = Push("d1", app.repository.branch)
    app.repository.commit(files)

    async def arrive(app: FakeApp) -> None:
        await queue_changes(app, push, app.clock.now())

    return arrive


async def test_the_road_of_a_new_team() -> None:
    app = await a_platform()
    start = _merge(app, {path_of("alpha"): Asked(dedicated={"phi-4": GPU}).text()})
    assert await _every_kill_ends_the_same(app, start) > 15


async def test_the_road_of_a_changed_request() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    changed = Asked(tokens=5_000, dedicated={"phi-4": LARGER_GPU, "mistral-7b": GPU}, readers=OTHER_READERS)
    assert await _every_kill_ends_the_same(app, _merge(app, {path_of("alpha"): changed.text()})) > 20


@pytest.mark.parametrize("readers", [OTHER_READERS, None])
async def test_the_road_of_keys_that_change_hands(readers: str | None) -> None:
    start = _merge(app := await a_team(), {path_of("alpha"): Asked(readers=readers).text()})
    assert await _every_kill_ends_the_same(app, start, HANDED_OVER) > 10


async def test_the_road_of_keys_that_change_hands_at_once() -> None:
    start = _merge(app := await a_team(), {path_of("alpha"): Asked(readers=OTHER_READERS).text()})
    app.timeouts = replace(app.timeouts, key_overlap=timedelta(0))
    assert await _every_kill_ends_the_same(app, start) > 10


async def test_the_road_of_a_playground() -> None:
    start = _merge(app := await a_platform(), {path_of("alpha"): Asked(playground=True, tracing=True).text()})
    assert await _every_kill_ends_the_same(app, start) > 15


async def test_the_road_of_a_playground_that_changes_hands() -> None:
    app = await a_team(Asked(playground=True))
    await later(app, SETTLED)
    changed = Asked(playground=True, tracing=True, readers=OTHER_READERS)
    assert await _every_kill_ends_the_same(app, _merge(app, {path_of("alpha"): changed.text()})) > 10


async def test_the_road_of_a_playground_that_is_given_up() -> None:
    app = await a_team(Asked(playground=True, tracing=True))
    await later(app, SETTLED)
    assert await _every_kill_ends_the_same(app, _merge(app, {path_of("alpha"): Asked().text()})) > 3


async def test_the_road_of_a_playground_at_the_end_of_grace() -> None:
    app = await a_team(Asked(playground=True, tracing=True))
    await ask(app, Asked())
    await later(app, app.timeouts.grace + timedelta(hours=1))
    assert await _every_kill_ends_the_same(app, _sweep) > 1


async def test_the_road_of_a_first_push() -> None:
    app = FakeApp()
    start = _merge(app, {DEFAULT_CATALOG_PATH: catalog_text(), path_of("alpha"): Asked().text()})
    assert await _every_kill_ends_the_same(app, start) > 20


async def test_the_road_of_a_withdrawal() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await ask(app, Asked(team="zulu"))
    assert await _every_kill_ends_the_same(app, _merge(app, {path_of("alpha"): None})) > 5


async def test_the_road_of_the_end_of_grace() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}))
    await withdraw(app)
    await later(app, app.timeouts.grace + timedelta(hours=1))
    assert await _every_kill_ends_the_same(app, _sweep) > 8


async def test_the_road_of_a_return_with_other_readers() -> None:
    app = await a_team()
    await withdraw(app)
    start = _merge(app, {path_of("alpha"): Asked(readers=OTHER_READERS).text()})
    assert await _every_kill_ends_the_same(app, start) > 12


async def _sweep(app: FakeApp) -> None:
    await start_sweep(app, "the timer")


async def test_a_change_taken_back_before_its_marker_is_written_leaves_nothing_behind() -> None:
    app = await a_team()
    before = world(app)
    await _interrupted(app, Asked(tokens=90_000))
    app.repository.commit({path_of("alpha"): Asked().text()})
    await later(app, SETTLED)
    assert world(app) == before


async def _interrupted(app: FakeApp, asked: Asked) -> None:
    """The process dies after the policy and before the marker."""
    kill = Kill(app, 1, "after")
    with pytest.raises(Killed):
        await ask(app, asked)
    kill.restart()
    if app.calls.writes("gateway") != ["put_product_policy team-alpha"]:
        pytest.fail("the process died elsewhere")
