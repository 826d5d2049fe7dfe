"""Whatever becomes of a message, its handling ends with a line of numbers."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from shared import calls
from shared.calls import counted
from shared.errors import MergekeyError, Rejected, Throttled
from shared.messaging.outcomes import Done, Outcome, Push, Waiting
from shared.messaging.routes import DELIVER_KEYS, PROVISION_GATEWAY, SWEEP, Stage
from shared.stages.settlement import settle_push
from tests.settlement.stage import a_message, an_app, settled


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    """What other tests of this process have called is not these tests'."""
    calls.take()


def numbers(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    prefix = "Measured: "
    return [json.loads(line.removeprefix(prefix)) for line in caplog.messages if line.startswith(prefix)]


@pytest.mark.parametrize(
    "result",
    [Done("in place"), Waiting(timedelta(seconds=30), "NodeClaimNotReady"), Throttled("no"), Rejected("no")],
)
@pytest.mark.parametrize("stage", [PROVISION_GATEWAY, DELIVER_KEYS, SWEEP])
async def test_a_message_says_how_long_it_waited(
    caplog: pytest.LogCaptureFixture, result: Outcome | MergekeyError, stage: Stage
) -> None:
    app = an_app()
    message = a_message(app)
    app.clock.advance(timedelta(seconds=90))
    with caplog.at_level(logging.INFO, "mergekey"):
        await settled(app, result, message, stage)
    assert numbers(caplog) == [{"work": stage.name, "waited": 90.0, "calls": []}]


async def test_a_bug_takes_no_numbers_along(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mergekey"), pytest.raises(ZeroDivisionError):
        await settled(an_app(), ZeroDivisionError())
    assert [each["work"] for each in numbers(caplog)] == [PROVISION_GATEWAY.name]


async def test_a_clock_that_is_behind_the_brokers_makes_no_wait_below_zero(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = an_app()
    message = a_message(app, enqueued=app.clock.now() + timedelta(seconds=5))
    with caplog.at_level(logging.INFO, "mergekey"):
        await settled(app, Done("in place"), message)
    assert numbers(caplog)[0]["waited"] == 0.0


async def test_a_push_tells_the_calls_that_were_made(caplog: pytest.LogCaptureFixture) -> None:
    app = an_app()
    with counted("GitHub", "GET") as call:
        call.answered(200, "4999")
    head = await app.repository.head()
    assert head is not None
    with caplog.at_level(logging.INFO, "mergekey"):
        await settle_push(app, Push("d-1", None, after=head.commit))
    rows = [{"to": "GitHub", "kind": "reads", "ok": 1, "left": 4999}]
    assert numbers(caplog) == [{"work": "receive-push", "calls": rows}]
