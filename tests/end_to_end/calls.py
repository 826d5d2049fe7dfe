"""The webhook, called by hand: what GitHub would never send, and what somebody else might."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from tests.end_to_end.road import Road


def signature(secret: str, body: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def sha1(secret: str, body: bytes) -> bytes:
    return b"sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest().encode()


def post(road: Road, body: bytes, signed: bytes | None = None, **headers: str) -> int:
    """Call the webhook, rightly signed unless a signature is given; returns the HTTP status. `X_GitHub_Event`
    is `X-GitHub-Event`.
    """
    all_headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "by-hand",
    }
    all_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection(urlsplit(road.stack.host_url).netloc, timeout=120)
    connection.putrequest("POST", "/api/github/webhook")
    for name, value in all_headers.items():
        connection.putheader(name, value)
    connection.putheader(
        "X-Hub-Signature-256", signature(road.stack.webhook_secret, body) if signed is None else signed
    )
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


def a_push(road: Road, **changes: Any) -> bytes:
    """The body of a push event, as far as the app reads it."""
    payload = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "repository": {"id": road.stack.repository_id},
        "installation": {"id": road.stack.github_app["installation_id"]},
    }
    return json.dumps(payload | changes).encode()
