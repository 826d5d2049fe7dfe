"""The deliveries of the App's webhook: https://docs.github.com/rest/apps/webhooks

The App authenticates with its JWT: no permission of its installation is needed.
"""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.adapters.answers import instance, text
from shared.adapters.github import GitHubClient
from shared.adapters.github_answers import SYSTEM
from shared.adapters.sharing import Recent
from shared.adapters.translate import understood
from shared.messaging.webhook_deliveries import Delivery

_PATH = "/app/hook/deliveries"
#: Twenty pages: an organisation's App gets the deliveries of its other repositories too.
MAX_DELIVERIES = 2_000
#: The list is ordered by the time at which deliveries were due; throttled ones are made later.
_LATE = timedelta(minutes=10)


class GitHubDeliveries:
    """GitHub lists a redelivery only when it has been made, so requested ones are remembered here.

    `most` is how many deliveries are read at most.
    """

    def __init__(self, client: GitHubClient, most: int = MAX_DELIVERIES) -> None:
        self._client = client
        self._most = most
        self._asked: Recent[int] = Recent(512)

    async def since(self, moment: datetime, only_failed: bool) -> list[Delivery]:
        found: list[Delivery] = []
        path = f"{_PATH}?per_page=100{'&status=failure' if only_failed else ''}"
        async with aclosing(self._client.listed_for_app(path)) as rows:
            async for row in rows:
                with understood(SYSTEM):
                    delivery = _delivery(row)
                if delivery.at < moment - _LATE or len(found) == self._most:
                    break
                found.append(delivery)
        return [delivery for delivery in found if delivery.at >= moment]

    async def redeliver(self, delivery: int) -> None:
        if self._asked.get(str(delivery)) is None:
            await self._client.post_as_app(f"{_PATH}/{delivery}/attempts")
            self._asked.put(str(delivery), delivery)


def _delivery(row: dict[str, Any]) -> Delivery:
    return Delivery(
        id=instance(int, row["id"]),
        guid=text(row["guid"]),
        event=text(row["event"]),
        repository=row.get("repository_id"),
        at=datetime.fromisoformat(text(row["delivered_at"])).astimezone(UTC),
        status=instance(int, row["status_code"] or 0),
        redelivery=row["redelivery"],
    )
