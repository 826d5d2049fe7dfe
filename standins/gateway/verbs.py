"""What the expressions about verbs and lists of models do, by the operation and the path of a call."""

from __future__ import annotations

import json
from urllib.parse import unquote

from standins.gateway.context import Context

_VERBS = {
    "chat-completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "images-generations": "images",
}
_PATHS = {
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "images": "/images/generations",
}


def operation(context: Context) -> str:
    assert context.operation is not None, "in C# a null reference"
    return str(context.operation["name"])


def verb(context: Context) -> str:
    name = operation(context)
    return next((verb for end, verb in _VERBS.items() if name.endswith(end)), "none")


def path(context: Context) -> str:
    return _PATHS.get(verb(context), "/chat/completions")


def is_another_verb(context: Context) -> bool:
    return path(context).removeprefix("/") not in context.variables["serves"].split(" ")


def what_is_served(context: Context) -> str:
    served: str = context.variables["serves"]
    told = f"{context.variables['granted-model']} does not serve this. It serves: {served}."
    rest = '", "type": "invalid_request_error", "param": null, "code": "bad_request"}}'
    return '{"error": {"message": "' + told + rest


def calls_tools(context: Context) -> bool:
    if "tools" in context.variables["serves"].split(" "):
        return False
    call = json.loads(context.request.body)
    found = (call.get("tools"), call.get("functions"))
    return any(isinstance(each, list | dict) and bool(each) for each in found)


def asks_for_models(context: Context) -> bool:
    path = context.request.path.rstrip("/").lower()
    return context.request.method == "GET" and (path.endswith("/models") or "/models/" in path)


def asked_model(context: Context) -> str:
    path = context.request.path.rstrip("/")
    at = path.lower().find("/models/")
    return "" if at < 0 else unquote(path[at + 8 :])


def one_model(context: Context) -> str:
    name: str = context.variables["asked-model"]
    return '{"id": "' + name + '", "object": "model", "created": 0, "owned_by": "mergekey"}'


def is_not_served(context: Context) -> bool:
    return operation(context).endswith("-other") and not asks_for_models(context)
