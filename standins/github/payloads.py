"""Payloads of webhooks: https://docs.github.com/webhooks/webhook-events-and-payloads ."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from standins.github.accounts import APP_ID
from standins.github.answers import Json
from standins.github.git import ZEROS
from standins.github.hooks import Hook, installation_in
from standins.github.hub import Hosted, Hub
from standins.github.repositories import pushed_commit, repository, user
from standins.github.webhooks import Event


@dataclass(frozen=True)
class RefUpdate:
    """One line that Git hands to the post-receive hook."""

    old: str
    new: str
    ref: str

    @property
    def created(self) -> bool:
        return self.old == ZEROS

    @property
    def deleted(self) -> bool:
        return self.new == ZEROS


async def push_payload(hub: Hub, hosted: Hosted, update: RefUpdate, hook: Hook) -> Json:
    """The `push` event of one ref, as this webhook is told of it."""
    commits = await _commits(hub, hosted, update)
    head = None if update.deleted else await hosted.git.commits(update.new, limit=1)
    return {
        "ref": update.ref,
        "before": update.old,
        "after": update.new,
        "created": update.created,
        "deleted": update.deleted,
        "forced": await _forced(hosted, update),
        "base_ref": await _base(hosted, update),
        "compare": _compare(hub, hosted, update),
        "commits": commits,
        "head_commit": pushed_commit(hub.address, hosted, head[0]) if head else None,
        "pusher": {"name": hosted.owner, "email": f"{hosted.owner}@users.noreply.github.com"},
        **_about(hub, hosted),
        **_installation(hub, hosted, hook),
    }


def ping(hub: Hub, hook: Hook, hosted: Hosted | None) -> Event:
    """The `ping` event, which GitHub sends when a webhook is made or on demand; the App's is about no
    repository.
    """
    payload = {"zen": "Keep it logically awesome.", "hook_id": hook.id, "hook": hook_view(hub, hook, hosted)}
    about = (
        {"repository": repository(hub.address, hosted), "sender": user(hub.address, hosted.owner)}
        if hosted
        else {}
    )
    return Event("ping", str(uuid.uuid4()), {**payload, **about}, hosted)


def hook_view(hub: Hub, hook: Hook, hosted: Hosted | None) -> Json:
    """A webhook as it is shown; the App's has `app_id`."""
    url = f"{hub.address}/repos/{hosted.full_name}/hooks/{hook.id}" if hosted else f"{hub.address}/app/hook"
    described: Json = {"test_url": f"{url}/test"} if hosted else {"app_id": APP_ID}
    return described | {
        "type": "Repository" if hosted else "App",
        "id": hook.id,
        "name": "web",
        "active": True,
        "events": ["push"],
        "config": hook.config(),
        "updated_at": hook.created_at,
        "created_at": hook.created_at,
        "url": url,
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {"code": None, "status": "unused", "message": None},
    }


def _about(hub: Hub, hosted: Hosted) -> Json:
    """Two dates of the repository are numbers in this payload, unlike everywhere else."""
    shown = repository(hub.address, hosted)
    shown |= {
        name: int(datetime.fromisoformat(shown[name]).timestamp()) for name in ("created_at", "pushed_at")
    }
    return {"repository": shown, "sender": user(hub.address, hosted.owner)}


def _installation(hub: Hub, hosted: Hosted, hook: Hook) -> Json:
    if not hook.is_app:
        return {}
    number = installation_in(hub, hosted)
    return {"installation": {"id": number, "node_id": f"I_{number}"}}


async def _base(hosted: Hosted, update: RefUpdate) -> str | None:
    """The branch that a new ref was made from, if it points where that does."""
    if not update.created:
        return None
    heads = (
        (
            await hosted.git.git(
                "for-each-ref", "--format=%(refname)", f"--points-at={update.new}^{{}}", "refs/heads"
            )
        )
        .decode()
        .split()
    )
    return next((head for head in heads if head != update.ref), None)


async def _commits(hub: Hub, hosted: Hosted, update: RefUpdate) -> list[Json]:
    """What the push brought: for a new branch what no other branch has, after a reset to an older commit
    nothing.
    """
    if update.deleted:
        return []
    known = (
        ["--not", f"--exclude={update.ref.removeprefix('refs/heads/')}", "--branches"]
        if update.created
        else ["--not", update.old]
    )
    return [
        pushed_commit(hub.address, hosted, commit) for commit in await hosted.git.commits(update.new, *known)
    ]


async def _forced(hosted: Hosted, update: RefUpdate) -> bool:
    if update.created or update.deleted:
        return False
    return not await hosted.git.is_ancestor(update.old, update.new)


def _compare(hub: Hub, hosted: Hosted, update: RefUpdate) -> str:
    url = f"{hub.address}/{hosted.full_name}"
    if update.created:
        return f"{url}/compare/{update.ref.split('/', 2)[-1]}"
    return f"{url}/compare/{update.old[:12]}...{update.new[:12]}"
