"""The unified API as an OpenAPI document: two ways to name a model (in the path as Azure OpenAI clients do,
in the body as OpenAI clients do), the same answers.
https://learn.microsoft.com/azure/ai-services/openai/reference
"""

from __future__ import annotations

from typing import Any

#: The path of the API on the gateway; `openai` is what AzureOpenAI clients append to their endpoint.
PATH = "openai"
#: Where a call carries its key: the header, the parameter of the query.
KEY_NAMES = ("api-key", "api-key")


def unified_api() -> dict[str, Any]:
    deployment = {"name": "deployment-id", "in": "path", "required": True, "schema": {"type": "string"}}
    paths: dict[str, Any] = {}
    for ending, what in (("chat/completions", "Chat completions"), ("embeddings", "Embeddings")):
        slug = ending.replace("/", "-")
        paths[f"/deployments/{{deployment-id}}/{ending}"] = _operation(
            f"deployment-{slug}", f"{what}, model in the path", [deployment]
        )
        paths[f"/v1/{ending}"] = _operation(f"v1-{slug}", f"{what}, model in the body", [])
    for prefix, style in (("", ""), ("/v1", "v1-")):
        paths[f"{prefix}/responses"] = _operation(f"{style}responses", "Responses, model in the body", [])
        paths[f"{prefix}/responses/{{response-id}}"] = _stored_response(style)
    return {"openapi": "3.0.1", "info": {"title": "AI models", "version": "1"}, "paths": paths}


def _operation(name: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    answer = {"200": {"description": "The model's answer"}}
    return {"post": {"operationId": name, "summary": summary, "parameters": parameters, "responses": answer}}


def _stored_response(style: str) -> dict[str, Any]:
    """Nothing is stored: both are refused, with a sentence of their own."""
    parameters = [{"name": "response-id", "in": "path", "required": True, "schema": {"type": "string"}}]
    found: dict[str, Any] = {}
    for method in ("get", "delete"):
        made = _operation(f"{style}response-{method}", f"Responses, {method} one: refused", parameters)
        found[method] = made["post"]
    return found
