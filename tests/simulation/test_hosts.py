"""The hosts of the simulation: whether what was written without a lock is looked at again."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest

from shared.errors import Unavailable
from shared.messaging.routes import PROVISION_GATEWAY
from shared.ports import OutgoingMessage
from tests.fakes.app import a_change
from tests.fakes.bus import Held
from tests.simulation.run import Run
from tests.simulation.scene import Handling
from tests.simulation.trouble import Spell


@pytest.fixture
def run() -> Iterator[Run]:
    """GitHub does not answer; else nothing fails."""
    made = Run(0)
    made.trouble.stop()
    made.trouble.spells.append(Spell("repository", "", "", inf, lambda: Unavailable("503")))
    yield made
    made.close()


def _message(run: Run) -> Held:
    """One that nobody else is given."""
    now = run.scene.true.now()
    body = a_change(run.scene.app, "mike").encode("d1/mike", "/mike", now)
    return Held(OutgoingMessage(PROVISION_GATEWAY.entity, "d1/mike", body, session="mike"), now, 0)


def _handle(run: Run, held: Held) -> Handling:
    """By somebody who has lost the lock and written something; then it comes back."""
    handling = run.hosts._handling("provision-gateway d1/mike", "mike")
    handling.locked, handling.wrote = False, True
    run.scene.loop.run_until_complete(
        run.hosts._run(handling, lambda: run.hosts._handle(PROVISION_GATEWAY, held, handling))
    )
    return handling


def test_a_handler_without_its_lock_is_followed_by_its_copy(run: Run) -> None:
    """Of two of one message, too: they share a copy, which comes after both."""
    held, waiting = _message(run), run.scene.app.bus.queues[PROVISION_GATEWAY.name]
    handlings = [_handle(run, held) for _ in range(2)]
    assert [each.followed for each in handlings] == [True, True]
    assert len(waiting) == 1


def test_a_handler_without_its_lock_that_cannot_send_its_copy_is_not_followed(run: Run) -> None:
    run.trouble.spells.append(Spell("bus", "", "", inf, lambda: Unavailable("503")))
    assert not _handle(run, _message(run)).followed
