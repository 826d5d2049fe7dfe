"""Pushes that GitHub could not deliver: it is asked to deliver them once more.

What they changed a sweep finds anyway. This is for the people behind them, who wait for a verdict beside
their commit, and for operators. Nothing here makes a sweep fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from shared import telemetry
from shared.app import App
from shared.errors import MergekeyError, PermanentError
from shared.messaging.webhook_deliveries import AT_ONCE, WINDOW, Delivery, Missed, missed
from shared.ports import Deliveries


async def redeliver_missed(app: App, now: datetime) -> None:
    """Only a GitHub App may see what was delivered. While sweeps only report, it is told and left."""
    if app.deliveries is None:
        telemetry.not_looked_at("failed deliveries", "only a GitHub App may list them")
        return
    try:
        found = await _look(app.deliveries, app.platform.repository, now)
        _tell(found.refused, "were refused, and would be again")
        _tell(found.given_up, "failed as often as is tried")
        for delivery in found.again[:AT_ONCE]:
            await _redeliver(app, app.deliveries, delivery)
    except MergekeyError as error:
        telemetry.found("deliveries at GitHub", f"left to the next sweep: {error}")


async def _look(deliveries: Deliveries, repository: int, now: datetime) -> Missed:
    """Where nothing failed, one short list says so. Only where something did, all that was delivered since is
    read, repetitions too.
    """
    found = missed(await deliveries.since(now - WINDOW, only_failed=True), repository)
    return (
        found
        if found.since is None
        else missed(await deliveries.since(found.since, only_failed=False), repository)
    )


async def _redeliver(app: App, deliveries: Deliveries, delivery: Delivery) -> None:
    """One that GitHub will not deliver again keeps nobody else from it; trouble with GitHub ends it for this
    time.
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


def _tell(deliveries: Sequence[Delivery], what: str) -> None:
    """One line, whatever their number: a wrong secret fails them all."""
    if deliveries:
        answers = ", ".join(
            f"{count} with {status}"
            for status, count in sorted(Counter(each.status for each in deliveries).items())
        )
        telemetry.unmanaged_resource(
            f"deliveries of GitHub {what}: {answers}; the last is {deliveries[-1].guid}"
        )
