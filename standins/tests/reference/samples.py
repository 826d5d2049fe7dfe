"""Exchanges as the stand-ins record them: each agrees with its description, and tests break them."""

from __future__ import annotations

import json
from typing import Any

from standins.world import Exchange

_SUBSCRIPTION = "/subscriptions/00000000-0000-4000-8000-000000000001"
SERVICE = f"{_SUBSCRIPTION}/resourceGroups/ai/providers/Microsoft.ApiManagement/service/contoso-ai"
VERSION = "api-version=2024-05-01"
WORKSPACES = "/apis/kaito.sh/v1beta1/namespaces/team-alpha/workspaces"


def exchange(
    server: str, request: str, status: int, body: Any = None, answer: Any = None, **more: Any
) -> Exchange:
    """`request` is `METHOD path`; `request_headers`, `answer_headers` and other parts of an Exchange can be
    given.
    """
    method, _, path = request.partition(" ")
    parts: dict[str, Any] = {"kind": f"{method} it", "request_headers": {}, "answer_headers": {}, **more}
    json_headers = {"content-type": "application/json"}
    return Exchange(
        number=1,
        server=server,
        method=method,
        path=path,
        status=status,
        kind=parts.pop("kind"),
        request_body=None if body is None else json.dumps(body),
        request_headers={**json_headers, **parts.pop("request_headers")},
        answer_body=None if answer is None else json.dumps(answer),
        answer_headers={**json_headers, **parts.pop("answer_headers")},
        **parts,
    )


def product_written(query: str = VERSION, name: str = "team-alpha", **changes: Any) -> Exchange:
    """A product that is made; `changes` are properties of the request."""
    properties = {"displayName": "Team Alpha", "subscriptionRequired": True, "state": "published", **changes}
    answer = {
        "id": f"{SERVICE}/products/{name}",
        "type": "Microsoft.ApiManagement/service/products",
        "name": name,
        "properties": {"displayName": "Team Alpha", "terms": None, "state": "published"},
    }
    request = f"PUT {SERVICE}/products/{name}?{query}"
    return exchange(
        "resource-manager",
        request,
        201,
        {"properties": properties},
        answer,
        answer_headers={"etag": '"AAAA"'},
    )


def product_deleted(**headers: str) -> Exchange:
    return exchange(
        "resource-manager", f"DELETE {SERVICE}/products/team-alpha?{VERSION}", 200, request_headers=headers
    )


def policy_written(
    value: str, form: str = "xml", path: str = "products/team-alpha/policies/policy"
) -> Exchange:
    answer = {"name": "policy", "properties": {"value": "<policies />", "format": "xml"}}
    return exchange(
        "resource-manager",
        f"PUT {SERVICE}/{path}?{VERSION}",
        201,
        {"properties": {"value": value, "format": form}},
        answer,
        answer_headers={"etag": '"AAAA"'},
    )


def secret_read(path: str = "/secrets/alpha-primary-key/", **changes: Any) -> Exchange:
    """`changes` are properties of the answer."""
    answer = {
        "value": "x",
        "id": "https://localhost/secrets/alpha-primary-key/1",
        "attributes": {"enabled": True, "created": 1},
        **changes,
    }
    return exchange("key-vault", f"GET {path}?api-version=7.5", 200, None, answer)


def status_written(**body: Any) -> Exchange:
    """A commit status at GitHub; the answer is refused, so that the request may be anything."""
    refusal = {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}
    return exchange("github", f"POST /repos/contoso/access/statuses/{'0' * 40}", 404, body, refusal)


def ref_read(**changes: Any) -> Exchange:
    answer = {
        "ref": "refs/heads/main",
        "node_id": "x",
        "url": "http://localhost/x",
        "object": {"type": "commit", "sha": "0" * 40, "url": "http://localhost/y"},
        **changes,
    }
    return exchange("github", "GET /repos/contoso/access/git/ref/heads/main", 200, None, answer)


def installations_listed() -> Exchange:
    """A GitHub App's only installation."""
    links = (
        "avatar_url events_url followers_url following_url gists_url html_url organizations_url "
        "received_events_url repos_url"
    )
    more = "starred_url subscriptions_url url"
    names = {"login": "contoso", "node_id": "x", "gravatar_id": "", "type": "User"}
    account = {
        **dict.fromkeys(f"{links} {more}".split(), "http://localhost/x"),
        **names,
        "id": 1,
        "site_admin": False,
    }
    addresses = dict.fromkeys(("access_tokens_url", "repositories_url", "html_url"), "http://localhost/x")
    dates = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
    nothing = dict.fromkeys(("single_file_name", "suspended_by", "suspended_at"))
    about = {
        "id": 1,
        "app_id": 1,
        "app_slug": "mergekey",
        "target_id": 1,
        "target_type": "User",
        "repository_selection": "all",
    }
    row = {**about, **addresses, **dates, **nothing, "account": account, "permissions": {}, "events": []}
    return exchange("github", "GET /app/installations", 200, None, [row], kind="LIST installations")


def workspace(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": "phi-4"},
        "resource": {
            "instanceType": "Standard_NC24ads_A100_v4",
            "labelSelector": {"matchLabels": {"apps": "phi-4"}},
        },
        "inference": {"preset": {"name": "phi-4"}},
        **changes,
    }


def workspace_applied(
    media: str = "application/apply-patch+yaml", answer: Any = None, **changes: Any
) -> Exchange:
    """Server-side apply, or another patch; `changes` are parts of the Workspace that is sent, `answer` the
    one that comes back.
    """
    request, headers = f"PATCH {WORKSPACES}/phi-4?fieldManager=mergekey&force=true", {"content-type": media}
    return exchange(
        "kubernetes", request, 200, workspace(**changes), answer or workspace(), request_headers=headers
    )


def webhook_sent(event: str, **payload: Any) -> Exchange:
    return exchange("github", "POST ", 202, payload, kind=f"webhook {event}")
