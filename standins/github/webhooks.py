"""Sends webhooks. As at GitHub there is one attempt per delivery, ten seconds long, and no retry; it can be
redelivered on request.

https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import aiohttp

from standins.faults import When
from standins.github.answers import Json
from standins.github.hooks import Hook, app_hook, installation_in, repository_hook
from standins.github.hub import Hosted, Hub
from standins.store import Table

#: GitHub does not send what is larger than 25 MB, and forgets deliveries after three days.
LARGEST, KEPT = 25 * 1024 * 1024, 3 * 24 * 3600
#: What a delivery ended with when nobody answered. The texts are GitHub's; its number is not documented, and
#: programs that read it know 0.
_UNREACHABLE, _TIMED_OUT = (0, "failed to connect"), (0, "timed out")
_SIGNATURES = ("X-Hub-Signature-256", "X-Hub-Signature")


@dataclass(frozen=True)
class Event:
    """Something that happened. `guid` is its X-GitHub-Delivery; `hosted` is None for what is about no
    repository.
    """

    name: str
    guid: str
    payload: Json
    hosted: Hosted | None = None


@dataclass(frozen=True)
class Outcome:
    """How a delivery ended: what the receiver answered, or why it did not."""

    status_code: int
    status: str
    response_headers: dict[str, str] | None = None
    response_payload: str | None = None


class Webhooks:
    """Every delivery, kept in the store; sends what is due, until closed."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._deliveries: Table = hub.store.table("hook_deliveries")
        self._payloads: Table = hub.store.table("hook_payloads")
        self._held = [number for number, delivery in self._deliveries.items() if delivery["held"]]
        self._sending: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession()
        for number, delivery in self._deliveries.items():
            # was due when the stand-in was stopped
            if delivery["delivered_at"] is None and not delivery["held"]:
                self._send_soon(number)

    async def close(self) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def all(self) -> list[Json]:
        """Oldest first. `delivered_at` and `status_code` are None until it was sent."""
        return list(self._deliveries.values())

    def payload(self, delivery: Json) -> str:
        return str(self._payloads[_payload_key(delivery["hook"], delivery["guid"])])

    def remembered(self, hook: Hook) -> Iterator[Json]:
        """The deliveries of a webhook that GitHub still shows, newest first."""
        since = self._hub.world.clock.now() - KEPT
        for row in reversed(self.all()):
            if row["hook"] == hook.id and row["delivered_at"] is not None and row["at"] > since:
                yield row

    def knows(self, hook: Hook, guid: str) -> bool:
        return _payload_key(hook.id, guid) in self._payloads

    def announce(self, hook: Hook, event: Event) -> None:
        """Queue the event for the webhook. The fault `webhook event` loses it: then there is no delivery at
        all.
        """
        body = json.dumps(event.payload, separators=(",", ":"))
        if self._hub.world.take_fault("github", "webhook event", "before") is not None:
            return
        if len(body) > LARGEST:
            self._hub.world.loud(
                "github", f"a {event.name} payload of {len(body)} bytes is too large to be delivered"
            )
            return
        self._payloads[_payload_key(hook.id, event.guid)] = body
        for _ in range(self._hub.options["webhook_copies"]):
            self._add(self._row(hook, event, len(body)))

    def redeliver(self, delivery: Json) -> Json:
        """The same payload under the same guid, as a delivery of its own, to where the webhook points now."""
        number = self._add({**delivery, "redelivery": True, "at": self._hub.world.clock.now(), "held": False})
        return dict(self._deliveries[number])

    def release(self) -> None:
        """Send what was held, newest first, when enough of it is there (option `webhook_hold`)."""
        if len(self._held) < self._hub.options["webhook_hold"]:
            return
        while self._held:
            number = self._held.pop()
            self._deliveries[number] = {**self._deliveries[number], "held": False}
            self._send_soon(number)

    def _row(self, hook: Hook, event: Event, size: int) -> Json:
        hosted, options = event.hosted, self._hub.options
        return {
            "guid": event.guid,
            "hook": hook.id,
            "event": event.name,
            "repository": hosted.full_name if hosted else None,
            "repository_id": hosted.id if hosted else None,
            "installation_id": installation_in(self._hub, hosted) if hosted and hook.is_app else None,
            "url": hook.url,
            "payload_size": size,
            "redelivery": False,
            "at": self._hub.world.clock.now() + options["webhook_delay"],
            "held": options["webhook_hold"] > 0,
        }

    def _add(self, row: Json) -> str:
        number = str(self._hub.next_id(self._deliveries, 90_000_000_001))
        unsent = {
            "id": int(number),
            "delivered_at": None,
            "status_code": None,
            "status": None,
            "duration": None,
        }
        self._deliveries[number] = {**row, **unsent}
        if row["held"]:
            self._held.append(number)
        else:
            self._send_soon(number)
        return number

    def _send_soon(self, number: str) -> None:
        task = asyncio.create_task(self._send(number))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, number: str) -> None:
        world, row = self._hub.world, self._deliveries[number]
        await world.clock.sleep(row["at"] - world.clock.now())
        await asyncio.sleep(world.trouble.latency("github", f"webhook {row['event']}"))
        hook, body = self._hook(row), self.payload(row).encode()
        url, headers = (
            hook.url if hook else row["url"],
            hook.headers(row["event"], row["guid"], body) if hook else {},
        )
        started = time.perf_counter()
        outcome = await self._outcome(row["event"], url, headers, body)
        took = {"delivered_at": self._hub.timestamp(), "duration": round(time.perf_counter() - started, 2)}
        self._deliveries[number] = {**row, **asdict(outcome), **took, "url": url, "request_headers": headers}
        world.record("github", f"webhook {row['event']}", row["guid"], outcome.status_code, started)
        self._record_exchange(row["event"], headers, body.decode(), outcome.status_code)

    def _hook(self, row: Json) -> Hook | None:
        """The webhook as it is now; None if it is gone."""
        apps = app_hook(self._hub)
        if row["repository"] is None or (apps is not None and row["hook"] == apps.id):
            return apps
        return repository_hook(self._hub.hosted(row["repository"]))

    async def _outcome(self, event: str, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        if (failed := await self._fault(event, "before")) is not None:
            return failed
        outcome = await self._post(url, headers, body)
        return await self._fault(event, "after") or outcome

    async def _fault(self, event: str, when: When) -> Outcome | None:
        fault = self._hub.world.take_fault("github", f"webhook {event}", when)
        if fault is None:
            return None
        await asyncio.sleep(fault.seconds)
        if fault.status is None:
            return None
        if fault.status == 0:
            return Outcome(*(_UNREACHABLE if when == "before" else _TIMED_OUT))
        return _answered(fault.status)

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        assert self._session is not None
        patience = aiohttp.ClientTimeout(total=self._hub.options["webhook_timeout"])
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=patience, allow_redirects=False
            ) as response:
                text = (await response.read()).decode(errors="replace")
                return _answered(response.status, dict(response.headers), text)
        except TimeoutError:
            return Outcome(*_TIMED_OUT)
        except aiohttp.ClientError:
            return Outcome(*_UNREACHABLE)

    def _record_exchange(self, event: str, headers: dict[str, str], body: str, status: int) -> None:
        self._hub.world.record_exchange(
            server="github",
            kind=f"webhook {event}",
            method="POST",
            path="",
            request_headers={
                name.lower(): value for name, value in headers.items() if name not in _SIGNATURES
            },
            request_body=body,
            status=status,
            answer_headers={},
            answer_body=None,
        )


def _answered(status: int, headers: dict[str, str] | None = None, payload: str | None = None) -> Outcome:
    return Outcome(status, "OK" if status < 300 else f"Invalid HTTP Response: {status}", headers, payload)


def _payload_key(hook: int, guid: str) -> str:
    return f"{hook} {guid}"
