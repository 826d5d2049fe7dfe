"""Payloads of webhooks: https://docs.github.com/webhooks/webhook-events-and-payloads ."""

from __future__ import annotations

from dataclasses import dataclass

from standins.github.answers import Json
from standins.github.git import ZEROS
from standins.github.hub import Hosted, Hub
from standins.github.repositories import pushed_commit, repository, user


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


async def push_payload(hub: Hub, hosted: Hosted, update: RefUpdate) -> Json:
    """The `push` event of one ref."""
    commits = await _commits(hub, hosted, update)
    head = None if update.deleted else await hosted.git.commits(update.new, limit=1)
    return {
        "ref": update.ref,
        "before": update.old,
        "after": update.new,
        "created": update.created,
        "deleted": update.deleted,
        "forced": await _forced(hosted, update),
        "base_ref": None,
        "compare": _compare(hub, hosted, update),
        "commits": commits,
        "head_commit": pushed_commit(hub.address, hosted, head[0]) if head else None,
        "pusher": {"name": hosted.owner, "email": f"{hosted.owner}@users.noreply.github.com"},
        **_common(hub, hosted),
    }


def ping_payload(hub: Hub, hosted: Hosted) -> Json:
    """The `ping` event, which GitHub sends when a webhook is made or on demand."""
    hook = hook_id(hosted)
    url = f"{hub.address}/repos/{hosted.full_name}/hooks/{hook}"
    created = hosted.options["created_at"]
    description = {
        "type": "Repository",
        "id": hook,
        "name": "web",
        "active": True,
        "events": ["push"],
        "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": hosted.options["webhook_url"]},
        "updated_at": created,
        "created_at": created,
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "last_response": {"code": None, "status": "unused", "message": None},
    }
    common = _common(hub, hosted)
    common.pop("installation", None)
    return {"zen": "Keep it logically awesome.", "hook_id": hook, "hook": description, **common}


def hook_id(hosted: Hosted) -> int:
    return hosted.id - 300_000_000


def _common(hub: Hub, hosted: Hosted) -> Json:
    common: Json = {"repository": repository(hub.address, hosted), "sender": user(hub.address, hosted.owner)}
    if installation := hub.accounts.installation:
        common["installation"] = installation
    return common


async def _commits(hub: Hub, hosted: Hosted, update: RefUpdate) -> list[Json]:
    """What the push brought: for a new branch what no other branch has, after a reset to an older commit nothing."""
    if update.deleted:
        return []
    known = ["--not", f"--exclude={update.ref.removeprefix('refs/heads/')}", "--branches"] if update.created else ["--not", update.old]
    return [pushed_commit(hub.address, hosted, commit) for commit in await hosted.git.commits(update.new, *known)]


async def _forced(hosted: Hosted, update: RefUpdate) -> bool:
    if update.created or update.deleted:
        return False
    return not await hosted.git.is_ancestor(update.old, update.new)


def _compare(hub: Hub, hosted: Hosted, update: RefUpdate) -> str:
    url = f"{hub.address}/{hosted.full_name}"
    if update.created:
        return f"{url}/compare/{update.ref.split('/', 2)[-1]}"
    return f"{url}/compare/{update.old[:12]}...{update.new[:12]}"
