"""From a `git push` to a signed webhook: Git's hook leaves a note in a folder, the stand-in finds it and delivers.

The note is durable, so that a push while the stand-in is down is delivered when it is back. As at GitHub there is one attempt per
delivery and no retry; it can be redelivered on request.
https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
import uuid
from pathlib import Path

import aiohttp

from standins.github.answers import Json, not_found
from standins.github.git import GitError
from standins.github.hub import Hosted, Hub
from standins.github.payloads import RefUpdate, hook_id, ping_payload, push_payload
from standins.store import Table

#: GitHub waits so long for an answer, and does not send what is larger than 25 MB.
TIMEOUT, LARGEST = 10, 25 * 1024 * 1024
#: More tags or branches than this in one push, and GitHub sends no event at all for them.
_TAGS, _BRANCHES = 3, 5000
_LOOK_EVERY = 0.02
_GUIDS = uuid.UUID("f7a6a3a0-6a2e-4b57-9a0e-2f5d2d1f7c11")

#: `mv` makes the note visible in one step; its name sorts by time. The push does not wait for anything else.
_HOOK = """#!/bin/sh
# Leaves a note of what was pushed; the stand-in sends the webhook.
set -e
spool="../../.pushes"
name="$(date +%s%N)-$$"
{{ echo "{full_name}"; cat; }} > "$spool/.$name"
mv "$spool/.$name" "$spool/$name"
"""


class Webhooks:
    """Sends what is due, until closed."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._deliveries: Table = hub.store.table("deliveries")
        self._payloads: Table = hub.store.table("payloads")
        self._spool = hub.world.folder / "repositories" / ".pushes"
        self._sending: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._spool.mkdir(parents=True, exist_ok=True)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        for number, delivery in self._deliveries.items():
            if delivery["delivered_at"] is None:  # was due when the stand-in was stopped
                self._send_soon(number)
        self._watch = asyncio.create_task(self._look_for_pushes())

    async def close(self) -> None:
        tasks = [*self._sending, *([self._watch] if self._watch else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def install(self, hosted: Hosted) -> None:
        """Put the hook into the bare repository."""
        hook = hosted.git.path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(full_name=hosted.full_name))
        hook.chmod(0o755)

    def list(self) -> list[Json]:
        """Every delivery, oldest first. `status_code` is None until it was sent, and 0 when nobody answered in time."""
        return list(self._deliveries.values())

    def ping(self, hosted: Hosted) -> str:
        return self._queue(hosted, "ping", str(uuid.uuid4()), ping_payload(self._hub, hosted))

    def redeliver(self, guid: str) -> Json:
        """The same payload under the same guid, as a delivery of its own. Raises `Refused` (404)."""
        if guid not in self._payloads:
            raise not_found()
        first = next(delivery for delivery in self._deliveries.values() if delivery["guid"] == guid)
        url = self._hub.hosted(first["repository"]).options["webhook_url"]
        number = self._add({**first, "url": url or first["url"], "redelivery": True})
        return dict(self._deliveries[number])

    async def _look_for_pushes(self) -> None:
        while True:
            for note in sorted(path for path in self._spool.iterdir() if not path.name.startswith(".")):
                try:
                    await self._take(note)
                except (GitError, KeyError) as error:  # the repository is gone or broken: the other pushes must go on
                    self._hub.world.loud("github", f"no webhook for {note.name}: {error}")
                    note.unlink()
            await asyncio.sleep(_LOOK_EVERY)  # looks for files, so it is real time that counts

    async def _take(self, note: Path) -> None:
        full_name, *lines = note.read_text().splitlines()
        hosted = self._hub.hosted(full_name)
        for update in _announced([RefUpdate(*line.split(" ", 2)) for line in lines]):
            # The same note gives the same guid: being stopped half-way does not make a second delivery of it.
            guid = str(uuid.uuid5(_GUIDS, f"{full_name} {note.name} {update.ref}"))
            if hosted.options["webhook_url"] and guid not in self._payloads:
                self._queue(hosted, "push", guid, await push_payload(self._hub, hosted, update))
        note.unlink()

    def _queue(self, hosted: Hosted, event: str, guid: str, payload: Json) -> str:
        body = json.dumps(payload, separators=(",", ":"))
        if len(body) > LARGEST:
            self._hub.world.loud("github", f"a {event} payload of {len(body)} bytes is too large to be delivered")
            return guid
        self._payloads[guid] = body
        about = {"guid": guid, "event": event, "repository": hosted.full_name, "url": hosted.options["webhook_url"]}
        self._add({**about, "payload_size": len(body), "redelivery": False})
        return guid

    def _add(self, delivery: Json) -> str:
        number = str(self._hub.next_id(self._deliveries, 90_000_000_001))
        self._deliveries[number] = {**delivery, "id": int(number), "delivered_at": None, "status_code": None, "duration": None}
        self._send_soon(number)
        return number

    def _send_soon(self, number: str) -> None:
        task = asyncio.create_task(self._send(number))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, number: str) -> None:
        delivery = self._deliveries[number]
        hosted = self._hub.hosted(delivery["repository"])
        body = self._payloads[delivery["guid"]].encode()
        started, status = time.perf_counter(), 0
        assert self._session is not None
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.post(delivery["url"], data=body, headers=_headers(hosted, delivery, body)) as response:
                status = response.status
        delivered = {"delivered_at": self._hub.timestamp(), "status_code": status, "duration": time.perf_counter() - started}
        self._deliveries[number] = {**delivery, **delivered}


def _announced(updates: list[RefUpdate]) -> list[RefUpdate]:
    tags = [update for update in updates if update.ref.startswith("refs/tags/")]
    branches = [update for update in updates if update.ref.startswith("refs/heads/")]
    return (branches if len(branches) <= _BRANCHES else []) + (tags if len(tags) <= _TAGS else [])


def _headers(hosted: Hosted, delivery: Json, body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "User-Agent": f"GitHub-Hookshot/{hosted.id:x}",
        "X-GitHub-Event": delivery["event"],
        "X-GitHub-Delivery": delivery["guid"],
        "X-GitHub-Hook-ID": str(hook_id(hosted)),
        "X-GitHub-Hook-Installation-Target-ID": str(hosted.id),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if secret := hosted.options["webhook_secret"]:
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Hub-Signature"] = "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return headers
