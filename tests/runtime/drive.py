"""Load a function app with Microsoft's own worker runtime, and call functions of it:
`python drive.py APP_DIR < invocations.json`.

Runs inside the environment of `tests/runtime/venv.py`, on its own: it imports nothing of this project. The
runtime is what Azure runs on Python 3.13 and newer; it is called here where its Rust front end calls it,
below the wire between host and worker.

Standard input: a list of `{"function", "kind": "http" | "serviceBus" | "timer", "body": text, "metadata":
{...}}`. The metadata of a message are `{name: [type, value]}` as the host sends them; those of a request are
`method`, `url`, `headers`, `query`, `params`. Standard output:
`{"functions": [{"name", "bindings"}], "results": [{"ok", "error", "response"}], "capabilities": {...}}`; the
last is what the worker tells the host that it does itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as runtime
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.native_invocation import invocation_request_native


class Protos:
    """In the place of the protobuf module that the runtime is given: every message type is a plain object,
    with Microsoft's numbers.
    """

    class BindingInfo(SimpleNamespace):
        in_, out, inout = 0, 1, 2
        undefined, string, binary, stream = 0, 1, 2, 3

    class StatusResult(SimpleNamespace):
        Failure, Success = 0, 1

    def __getattr__(self, name: str) -> type[SimpleNamespace]:
        return SimpleNamespace


async def run(app_dir: str, invocations: list[dict[str, Any]]) -> dict[str, Any]:
    functions, capabilities = await load(app_dir)
    listed = [{"name": name, "bindings": function["bindings"]} for name, function in functions.items()]
    return {
        "functions": listed,
        "capabilities": capabilities,
        "results": [await invoke(functions[asked["function"]], asked) for asked in invocations],
    }


async def load(app_dir: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The functions by name, with `id` and `bindings`, and the worker's capabilities."""
    sys.path.insert(0, app_dir)
    runtime.start_threadpool_executor()
    asked = SimpleNamespace(
        worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=app_dir)
    )
    started = await runtime.worker_init_request(
        SimpleNamespace(request=asked, properties={"host": "127.0.0.1", "protos": Protos()})
    )
    if started.result.status != Protos.StatusResult.Success:
        raise SystemExit(started.result.exception.message)
    answer = await runtime.functions_metadata_request(SimpleNamespace())
    functions = {
        found.name: {
            "id": found.function_id,
            "bindings": [json.loads(binding) for binding in found.raw_bindings],
        }
        for found in answer.function_metadata_results
    }
    return functions, dict(started.capabilities)


async def invoke(function: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    trigger = next(binding for binding in function["bindings"] if binding["type"].endswith("Trigger"))
    datum, metadata = {"http": http, "serviceBus": service_bus, "timer": timer}[asked["kind"]](asked)
    if trigger.get("dataType") == "BINARY":  # then the host sends the body as bytes
        datum = Datum(datum.value.encode(), "bytes")
    ok, returned, _, error, _ = await invocation_request_native(
        "1", function["id"], [(trigger["name"], datum)], metadata
    )
    return {
        "ok": ok,
        "error": error,
        "response": response(returned) if asked["kind"] == "http" and ok else None,
    }


def http(asked: dict[str, Any]) -> tuple[Datum, dict[str, Datum]]:
    request = asked["metadata"]
    parts = {
        name: {key: text(value) for key, value in request.get(name, {}).items()}
        for name in ("headers", "query", "params")
    }
    body = Datum(asked.get("body", "").encode(), "bytes")
    return Datum(
        {"method": text(request["method"]), "url": text(request["url"]), "body": body, **parts}, "http"
    ), {}


def service_bus(asked: dict[str, Any]) -> tuple[Datum, dict[str, Datum]]:
    return text(asked["body"]), {
        name: Datum(value, kind) for name, (kind, value) in asked["metadata"].items()
    }


def timer(asked: dict[str, Any]) -> tuple[Datum, dict[str, Datum]]:
    return Datum(json.dumps({"IsPastDue": False, "Schedule": {}}), "json"), {}


def response(returned: Datum) -> dict[str, Any]:
    if returned.type == "string":
        return {"status": 200, "headers": {}, "body": returned.value}
    headers = {name: value.value for name, value in returned.value["headers"].items()}
    return {
        "status": int(returned.value["status_code"].value),
        "headers": headers,
        "body": returned.value["body"].value.decode(),
    }


def text(value: str) -> Datum:
    return Datum(value, "string")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the app prints shall not mix with the answer
    print(json.dumps(asyncio.run(run(sys.argv[1], json.load(sys.stdin)))), file=answers, flush=True)
    runtime.stop_threadpool_executor()


if __name__ == "__main__":
    main()
