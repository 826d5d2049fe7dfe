"""GitHub is asked to deliver failed pushes once more.

A sweep finds anyway what those pushes changed. The redelivery brings their people the check run, and the log
shows operators that deliveries fail. No error here makes a sweep fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from shared import telemetry
from shared.app import App
from shared.errors import MergekeyError, PermanentError
from shared.messaging.webhook_deliveries import MAX_REDELIVERIES, WINDOW, Delivery, Missed, missed
from shared.ports import Deliveries


async def redeliver_missed(app: App, now: datetime) -> None:
    """Only a GitHub App may list deliveries. While sweeps only report, failed deliveries are only logged."""
    if app.deliveries is None:
        telemetry.not_looked_at("failed deliveries", "only a GitHub App may list them")
        return
    try:
        found = await _missed(app.deliveries, app.platform.repository, now)
        _log(found.refused, "were refused, and would be again")
        _log(found.given_up, "failed as often as is tried")
        for delivery in found.again[:MAX_REDELIVERIES]:
            await _redeliver(app, app.deliveries, delivery)
    except MergekeyError as error:
        telemetry.found("deliveries at GitHub", f"left to the next sweep: {error}")


async def _missed(deliveries: Deliveries, repository: int, now: datetime) -> Missed:
    """The failed deliveries come in one short list. All deliveries, with the later attempts, are listed only
    where some failed.
    """
    found = missed(await deliveries.since(now - WINDOW, only_failed=True), repository)
    if found.since is None:
        return found
    return missed(await deliveries.since(found.since, only_failed=False), repository)


async def _redeliver(app: App, deliveries: Deliveries, delivery: Delivery) -> None:
    """A delivery that GitHub refuses to repeat is logged, and the next one is tried; any other error ends the
    redelivery until the next sweep.
    """
    if app.sweep_report_only:
        telemetry.found(f"delivery {delivery.guid}", f"failed with {delivery.status}")
        return
    try:
        await deliveries.redeliver(delivery.id)
        telemetry.found(
            f"delivery {delivery.guid}", f"failed with {delivery.status}, GitHub is asked to deliver it again"
        )
    except PermanentError as error:
        telemetry.found(
            f"delivery {delivery.guid}",
            f"failed with {delivery.status}, and cannot be delivered again: {error}",
        )


def _log(deliveries: Sequence[Delivery], what: str) -> None:
    """One line for all of them: with a wrong secret every delivery fails."""
    if deliveries:
        answers = ", ".join(
            f"{count} with {status}"
            for status, count in sorted(Counter(each.status for each in deliveries).items())
        )
        telemetry.unmanaged_resource(
            f"deliveries of GitHub {what}: {answers}; the last is {deliveries[-1].guid}"
        )
