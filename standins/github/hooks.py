"""Which webhooks there are: the App's, and one of each repository that has been given one.

The App's gets the pushes of every repository it is installed in, with the installation in the payload; a
repository's own has none. https://docs.github.com/webhooks/types-of-webhooks
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from standins.github.accounts import APP_ID, Caller
from standins.github.answers import Json
from standins.github.hub import Hosted, Hub, utc

APP_HOOK = 80_000_001


@dataclass(frozen=True)
class Hook:
    """`target` is what the webhook belongs to: (`integration`, the App's id) or (`repository`, its id)."""

    id: int
    url: str
    secret: str | None
    target: tuple[str, int]
    created_at: str

    @property
    def is_app(self) -> bool:
        return self.target[0] == "integration"

    def headers(self, event: str, guid: str, body: bytes) -> dict[str, str]:
        """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": f"GitHub-Hookshot/{self.id:x}",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid,
            "X-GitHub-Hook-ID": str(self.id),
            "X-GitHub-Hook-Installation-Target-ID": str(self.target[1]),
            "X-GitHub-Hook-Installation-Target-Type": self.target[0],
        }
        if self.secret:
            headers["X-Hub-Signature-256"] = (
                "sha256=" + hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            )
            headers["X-Hub-Signature"] = (
                "sha1=" + hmac.new(self.secret.encode(), body, hashlib.sha1).hexdigest()
            )
        return headers

    def config(self) -> Json:
        """As it is shown: the secret is not."""
        secret = {"secret": "********"} if self.secret else {}
        return {"content_type": "json", "insecure_ssl": "0", "url": self.url, **secret}


def app_hook(hub: Hub) -> Hook | None:
    app = hub.accounts.app
    if not app["webhook_url"]:
        return None
    return Hook(
        APP_HOOK, app["webhook_url"], app["webhook_secret"], ("integration", APP_ID), utc(app["created"])
    )


def repository_hook(hosted: Hosted) -> Hook | None:
    options = hosted.options
    if not options["webhook_url"]:
        return None
    number, target = hosted.id - 300_000_000, ("repository", hosted.id)
    return Hook(number, options["webhook_url"], options["webhook_secret"], target, options["created_at"])


def installation_in(hub: Hub, hosted: Hosted) -> int | None:
    """The installation that may know of pushes to the repository."""
    installation = hub.accounts.installation_on(hosted.owner)
    if installation is None or installation["suspended"] is not None:
        return None
    caller = Caller("", installation)
    return (
        int(installation["id"])
        if caller.sees(hosted.owner, hosted.name) and caller.may("contents", "read")
        else None
    )


def hooks_for(hub: Hub, hosted: Hosted) -> list[Hook]:
    """Who is told of a push."""
    apps = app_hook(hub) if installation_in(hub, hosted) is not None else None
    return [hook for hook in (apps, repository_hook(hosted)) if hook is not None]
