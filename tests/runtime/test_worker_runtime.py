"""What a function app looks like to Microsoft's own worker runtime, and that the local host shows it the
same.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from standins.service_bus import serve
from standins.tests.hosting import ROOT, eventually, lines, running_host
from standins.world import World
from tests.runtime.venv import UnavailableError, interpreter

SMALL_APP = ROOT / "tests" / "runtime" / "app"
EXAMPLE = ROOT / "local.settings.example.json"
SMALL_SETTINGS = {"JOBS": "jobs", "OFTEN": "0 0 0 1 1 *"}

#: Application properties, in the SDK's words.
Properties = dict[str | bytes, int | float | bytes | bool | str | UUID]

#: What `drive.py` prints under "functions", as the local host indexes it.
LIST = """
import json, pathlib, sys
from standins.functions_host.index import load
print(json.dumps([{"name": found.name, "bindings": found.bindings} for found in \
load(pathlib.Path(sys.argv[1]))]))
"""


@pytest.fixture(scope="module")
def runtime() -> Path:
    """The interpreter with the worker runtime."""
    try:
        return interpreter()
    except UnavailableError as error:
        pytest.skip(str(error))


def drive(
    runtime: Path, app_dir: Path, invocations: list[dict[str, Any]], settings: Mapping[str, str]
) -> dict[str, Any]:
    """What `drive.py` answers."""
    command = [str(runtime), str(ROOT / "tests" / "runtime" / "drive.py"), str(app_dir)]
    # What is compiled once stays so, where the machine's own setting would have every process do it anew.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **settings}
    done = subprocess.run(
        command, input=json.dumps(invocations), env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def listed(app_dir: Path, settings: Mapping[str, str]) -> list[dict[str, Any]]:
    """The functions and bindings that the local host finds. A process of its own, since every app is a module
    of the same name.
    """
    command = [sys.executable, "-c", LIST, str(app_dir)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def example_settings() -> dict[str, str]:
    values: dict[str, str] = json.loads(EXAMPLE.read_text())["Values"]
    return values


def test_the_small_app_has_the_same_functions_and_bindings_in_both_hosts(runtime: Path) -> None:
    functions = drive(runtime, SMALL_APP, [], SMALL_SETTINGS)["functions"]
    assert functions == listed(SMALL_APP, SMALL_SETTINGS)
    assert "readers/$DeadLetterQueue" in {
        binding.get("subscriptionName") for found in functions for binding in found["bindings"]
    }


def test_mergekey_has_the_same_functions_and_bindings_in_both_hosts(runtime: Path) -> None:
    functions = drive(runtime, ROOT, [], example_settings())["functions"]
    assert functions == listed(ROOT, example_settings())
    assert functions


def test_the_worker_leaves_its_log_to_the_host_unless_told_otherwise(runtime: Path) -> None:
    """The host drops the log of a worker that says it sends telemetry itself."""
    sends_itself = "WorkerOpenTelemetryEnabled"
    assert sends_itself not in drive(runtime, ROOT, [], example_settings())["capabilities"]
    switched = example_settings() | {"PYTHON_ENABLE_OPENTELEMETRY": "true"}
    assert drive(runtime, ROOT, [], switched)["capabilities"][sends_itself] == "true"


async def test_a_request_looks_the_same_in_both_hosts(runtime: Path, tmp_path: Path) -> None:
    nowhere = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=R;SharedAccessKey=S;UseDevelopmentEmulator=true;"
    settings = SMALL_SETTINGS | {"SEEN": str(tmp_path / "seen.jsonl"), "BUS": nowhere}
    headers = {"x-hub-signature-256": "sha256=00", "content-type": "application/json; charset=utf-8"}
    body = '{"ref": "refs/heads/main", "name": "Zoë"}'
    async with running_host(
        SMALL_APP, "--keys", str(tmp_path / "keys.json"), settings=settings, log=tmp_path / "log"
    ) as host:
        url = f"{host.url}/api/echo/ada?page=2"
        async with aiohttp.request("POST", url, data=body.encode(), headers=headers) as answer:
            local = {
                "status": answer.status,
                "answer": answer.headers["x-answer"],
                "body": await answer.json(),
            }
    asked = {
        "method": "POST",
        "url": url,
        "headers": headers,
        "query": {"page": "2"},
        "params": {"name": "ada"},
    }
    (result,) = drive(
        runtime, SMALL_APP, [{"function": "echo", "kind": "http", "body": body, "metadata": asked}], settings
    )["results"]
    there = result["response"]
    assert local == {
        "status": there["status"],
        "answer": there["headers"]["X-Answer"],
        "body": json.loads(there["body"]),
    }


async def test_a_message_looks_the_same_in_both_hosts(runtime: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    body = json.dumps({"specversion": "1.0", "type": "access-change", "data": {"team": "alpha"}})
    properties: Properties = {"attempt": 2, "waiting-since": "2026-01-02T03:04:05Z", "sweep": False}
    await through_the_local_host(ours, tmp_path, body, properties)
    (local,) = lines(ours)
    invocation = {
        "function": "read_news",
        "kind": "serviceBus",
        "body": body,
        "metadata": metadata(local, properties),
    }
    (result,) = drive(runtime, SMALL_APP, [invocation], SMALL_SETTINGS | {"SEEN": str(theirs)})["results"]
    assert result["ok"], result["error"]
    (there,) = lines(theirs)
    assert local == there
    assert (local["message_id"], local["session_id"], local["delivery_count"]) == ("m-1", "alpha", 1)
    assert (local["body"], local["application_properties"]) == (body, properties)


async def through_the_local_host(seen: Path, folder: Path, body: str, properties: Properties) -> None:
    """Send one message to the session topic, and wait until the function of the local host has seen it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    subscription = {
        "requires_session": True,
        "lock_duration": "PT1M",
        "max_delivery_count": 3,
        "rules": {"all": {}},
    }
    queue = {"requires_session": False, "lock_duration": "PT1M", "max_delivery_count": 3}
    entities = {"queues": {"jobs": queue}, "topics": {"news": {"subscriptions": {"readers": subscription}}}}
    broker = await serve(World(folder / "broker"), listener, entities)
    port = listener.getsockname()[1]
    connection = (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=local;SharedAccessKey=local;"
        "UseDevelopmentEmulator=true;"
    )
    settings = SMALL_SETTINGS | {"SEEN": str(seen), "BUS": connection}
    message = ServiceBusMessage(
        body,
        message_id="m-1",
        session_id="alpha",
        to="all",
        subject="a change",
        application_properties=properties,
    )
    async with (
        running_host(SMALL_APP, "--keys", str(folder / "keys.json"), settings=settings, log=folder / "log"),
        ServiceBusClient.from_connection_string(connection) as bus,
        bus.get_topic_sender("news") as sender,
    ):
        await sender.send_messages(message)
        await eventually(lambda: lines(seen))
    broker.close()


def metadata(seen: dict[str, Any], properties: Properties) -> dict[str, list[str]]:
    """The trigger metadata of that message as the Service Bus extension 5.x builds them and the Functions
    host sends them on.

    Source: ServiceBusTriggerBindingStrategy.AddBindingData in Azure/azure-sdk-for-net and
    RpcMessageConversionExtensions.ToRpc in Azure/azure-functions-host. What only the broker knows (lock
    token, sequence number, time) is taken from what the local host saw.
    """
    texts = {
        "MessageId": "m-1",
        "SessionId": "alpha",
        "To": "all",
        "Subject": "a change",
        "Label": "a change",
        "LockToken": seen["lock_token"],
    }
    values = {
        "ApplicationProperties": properties,
        "UserProperties": properties,
        "DeliveryCount": 1,
        "SequenceNumber": seen["sequence_number"],
        "EnqueuedTimeUtc": seen["enqueued_time_utc"].replace(" ", "T"),
        "ExpiresAtUtc": "9999-12-31T23:59:59.9999999",
    }
    return {name: ["string", text] for name, text in texts.items()} | {
        name: ["json", json.dumps(value)] for name, value in values.items()
    }
