"""The road from a push to a key, every function of it run by Microsoft's own worker runtime."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

from standins.demo.repository import Clone
from standins.demo.servers import Servers
from standins.functions_host.conversion import service_bus_metadata
from standins.stack import FOUNDRY_ID, Stack
from standins.tests.hosting import ROOT
from tests.runtime.test_worker_runtime import drive
from tests.runtime.venv import UnavailableError, interpreter

TOPIC = "access-changes"
GOLFS_PROJECT = f"{FOUNDRY_ID}/projects/team-golf"
REQUEST = "team: {name: golf, owner: lead@contoso.com, entraGroup: 5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b11}\n"
REQUEST += (
    "models:\n  foundry:\n    - {name: gpt-4.1, tokensPerMinute: 1000}\nfeatures: {playgroundAccess: true}\n"
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """The stand-ins alone: the local host is stopped, the worker runtime takes its place."""
    with Stack(tmp_path / "stack", ROOT) as stack:
        stack.stop_host()
        yield stack


@pytest.fixture(scope="module")
def runtime() -> Path:
    try:
        return interpreter()
    except UnavailableError as error:
        pytest.skip(str(error))


async def test_a_push_becomes_a_key_inside_the_worker_runtime(runtime: Path, stack: Stack) -> None:
    clone = Clone(stack.git_url, stack.folder / "clone")
    clone.fill(ROOT / "examples" / "access-repo")
    clone.write("tenant-access/config/golf/access.yaml", REQUEST)
    clone.push("golf asks")
    take_in(runtime, stack)
    async with ServiceBusClient.from_connection_string(stack.settings()["SERVICE_BUS"]) as bus:
        catalog = await message(
            bus.get_subscription_receiver(TOPIC, "provision-catalog", session_id="catalogue"),
            "provision_catalog",
        )
        golf = await message(
            bus.get_subscription_receiver(TOPIC, "provision-gateway", session_id="golf"), "provision_gateway"
        )
        workspaces = await message(
            bus.get_subscription_receiver(TOPIC, "provision-workspaces", session_id="golf"),
            "provision_workspaces",
        )
        projects = await message(
            bus.get_subscription_receiver(TOPIC, "provision-projects", session_id="golf"),
            "provision_projects",
        )
        answers = driven(runtime, stack, [catalog, golf, workspaces, projects])
        assert [answer["error"] for answer in answers if not answer["ok"]] == []
        keys = await message(bus.get_queue_receiver("deliver-keys", session_id="golf"), "deliver_keys")
    assert driven(runtime, stack, [keys])[0]["ok"]
    servers = Servers(stack)
    assert (
        servers.fetch("golf-primary-key", "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b11") == servers.keys("golf")[0]
    )
    made = [
        call.target for call in stack.control.calls("resource-manager") if call.kind == "PUT foundry project"
    ]
    assert [target.partition("?")[0] for target in made] == [GOLFS_PROJECT]


def take_in(runtime: Path, stack: Stack) -> None:
    """The webhook takes the push in. On a busy machine its seconds may be over before that, and it leaves the
    push to a sweep: then it is called again.
    """
    for attempt in range(5):
        answers = driven(runtime, stack, [health(), webhook(stack, f"delivery-{attempt}"), forged(stack)])
        responses = [answer["response"] for answer in answers]
        assert [response["status"] for response in responses] == [200, 202, 401]
        if "everything is looked at" not in responses[1]["body"]:
            return
    raise AssertionError("every push was left to a sweep")


def driven(runtime: Path, stack: Stack, invocations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = drive(
        runtime, ROOT, invocations, {**stack.settings(), "SSL_CERT_FILE": stack.ca}
    )["results"]
    return results


def health() -> dict[str, Any]:
    return {
        "function": "health",
        "kind": "http",
        "body": "",
        "metadata": {"method": "GET", "url": "http://app/api/health"},
    }


def webhook(stack: Stack, delivery: str, secret: str | None = None) -> dict[str, Any]:
    """A push to a new branch, as far as the app reads it."""
    payload = {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "repository": {"id": stack.repository_id},
        "installation": {"id": stack.github_app["installation_id"]},
    }
    body = json.dumps(payload)
    signature = hmac.new((secret or stack.webhook_secret).encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {
        "x-hub-signature-256": f"sha256={signature}",
        "x-github-event": "push",
        "x-github-delivery": delivery,
    }
    metadata = {"method": "POST", "url": "http://app/api/github/webhook", "headers": headers}
    return {"function": "receive_push", "kind": "http", "body": body, "metadata": metadata}


def forged(stack: Stack) -> dict[str, Any]:
    return webhook(stack, "forged", secret="a secret that is not ours")


async def message(receiver: ServiceBusReceiver, function: str) -> dict[str, Any]:
    """The next message, taken from the broker, as the host would hand it to the function."""
    async with receiver:
        (received,) = await receiver.receive_messages(1, max_wait_time=120)
        metadata = {name: [datum.type, datum.value] for name, datum in service_bus_metadata(received).items()}
        await receiver.complete_message(received)
    return {
        "function": function,
        "kind": "serviceBus",
        "body": b"".join(received.body).decode(),
        "metadata": metadata,
    }
