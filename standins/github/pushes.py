"""From a `git push` to the event: Git's hook leaves a note in a folder, the stand-in finds it.

The note is durable, so that a push while the stand-in is down is announced when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from pathlib import Path

from standins.github.git import GitError
from standins.github.hooks import hooks_for
from standins.github.hub import Hosted, Hub
from standins.github.payloads import RefUpdate, push_payload
from standins.github.webhooks import Event, Webhooks

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


class Pushes:
    """Looks for pushes until closed."""

    def __init__(self, hub: Hub, webhooks: Webhooks) -> None:
        self._hub = hub
        self._webhooks = webhooks
        self._spool = hub.world.folder / "repositories" / ".pushes"
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._spool.mkdir(parents=True, exist_ok=True)
        self._watch = asyncio.create_task(self._look())

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    def install(self, hosted: Hosted) -> None:
        """Put the hook into the bare repository."""
        hook = hosted.git.path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(full_name=hosted.full_name))
        hook.chmod(0o755)

    async def _look(self) -> None:
        while True:
            for note in sorted(path for path in self._spool.iterdir() if not path.name.startswith(".")):
                try:
                    await self._take(note)
                # the repository is gone or broken: the other pushes must go on
                except (GitError, KeyError) as error:
                    self._hub.world.loud("github", f"no webhook for {note.name}: {error}")
                    note.unlink()
            self._webhooks.release()
            await asyncio.sleep(_LOOK_EVERY)  # looks for files, so it is real time that counts

    async def _take(self, note: Path) -> None:
        full_name, *lines = note.read_text().splitlines()
        hosted = self._hub.hosted(full_name)
        for update in _announced([RefUpdate(*line.split(" ", 2)) for line in lines]):
            # The same note gives the same guid: being stopped half-way does not make a second delivery of it.
            guid = str(uuid.uuid5(_GUIDS, f"{full_name} {note.name} {update.ref}"))
            for hook in hooks_for(self._hub, hosted):
                if not self._webhooks.knows(hook, guid):
                    self._webhooks.announce(
                        hook, Event("push", guid, await push_payload(self._hub, hosted, update, hook), hosted)
                    )
        note.unlink()


def _announced(updates: list[RefUpdate]) -> list[RefUpdate]:
    tags = [update for update in updates if update.ref.startswith("refs/tags/")]
    branches = [update for update in updates if update.ref.startswith("refs/heads/")]
    return (branches if len(branches) <= _BRANCHES else []) + (tags if len(tags) <= _TAGS else [])
