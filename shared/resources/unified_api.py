"""The unified API as an OpenAPI document: two ways to name a model (in the path as Azure OpenAI clients do,
in the body as OpenAI clients do), the same answers.
https://learn.microsoft.com/azure/ai-services/openai/reference

API Management estimates the tokens of a prompt by the schemas of requests; it checks no call by them.
"""

from __future__ import annotations

from typing import Any

from shared.catalog.verbs import VERBS, Verb

#: The path of the API on the gateway; `openai` is what AzureOpenAI clients append to their endpoint.
PATH = "openai"
#: Where a call carries its key: the header, the parameter of the query.
KEY_NAMES = ("api-key", "api-key")

_TEXTS = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_MESSAGES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"role": {"type": "string"}, "content": {}},
        "required": ["role"],
    },
}
#: What carries the prompt of a call, by the ability that it asks for.
_PROMPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("messages", _MESSAGES),
    "completions": ("prompt", _TEXTS),
    "embeddings": ("input", _TEXTS),
    "responses": ("input", {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}),
    "images": ("prompt", {"type": "string"}),
}


def unified_api() -> dict[str, Any]:
    """Each verb in both ways, the lists of models, and at last what catches all other paths."""
    paths: dict[str, Any] = {}
    for verb in VERBS:
        paths[f"/deployments/{{deployment-id}}/{verb.path}"] = _call(
            verb, f"deployment-{verb.slug}", "model in the path", [_parameter("deployment-id")]
        )
        paths[f"/v1/{verb.path}"] = _call(verb, f"v1-{verb.slug}", "model in the body", [])
        if verb.ability == "responses":
            # As AzureOpenAI clients send it.
            paths[f"/{verb.path}"] = _call(verb, verb.slug, "model in the body", [])
    for path, name, title in (
        ("/v1/models", "v1-models", "The models of a key"),
        ("/v1/models/*", "v1-model", "One model of a key"),
        ("/models", "models", "The models of a key"),
        ("/models/*", "model", "One model of a key"),
    ):
        paths[path] = {"get": _operation(name, title, [])}
    others = {
        method: _operation(f"{method}-other", "Nothing is served here", [])
        for method in ("get", "post", "delete")
    }
    return {
        "openapi": "3.0.1",
        "info": {"title": "AI models", "version": "1"},
        "paths": {**paths, "/*": others},
    }


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _call(verb: Verb, name: str, where: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    prompt, schema = _PROMPTS[verb.ability]
    body = {
        "type": "object",
        "properties": {"model": {"type": "string"}, "stream": {"type": "boolean"}, prompt: schema},
        "required": [prompt],
    }
    operation = _operation(name, f"{verb.title}, {where}", parameters)
    return {"post": {**operation, "requestBody": {"content": {"application/json": {"schema": body}}}}}


def _operation(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    answer = {"200": {"description": "The answer"}}
    return {"operationId": name, "summary": summary, "parameters": parameters, "responses": answer}
