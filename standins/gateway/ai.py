"""Policies for language models besides the limits: metrics, content safety, the cache by meaning.

https://learn.microsoft.com/azure/api-management/llm-emit-token-metric-policy
https://learn.microsoft.com/azure/api-management/llm-content-safety-policy
https://learn.microsoft.com/azure/api-management/llm-semantic-cache-lookup-policy
"""

from __future__ import annotations

import json
from typing import Any

from multidict import CIMultiDict

from standins.gateway.cache import Place
from standins.gateway.context import Context, Step, Usage
from standins.gateway.document import Node
from standins.gateway.exchange import Failure, Json, NotKnown, Response

_MOST_DIMENSIONS = 5
_SAFETY_VERSION = "2024-09-01"
_COGNITIVE_SERVICES = "https://cognitiveservices.azure.com"


def emit_metric(node: Node) -> Step:
    """Noted in the gateway's report: `{namespace, dimensions, prompt, completion, total}`, once the tokens
    are known.
    """
    namespace = node.fixed(node.only("namespace"), "namespace") or "API Management"
    dimensions = {}
    for child in node.children("dimension"):
        attributes = child.only("name", "value")
        child.empty()
        dimensions[child.fixed(attributes, "name")] = child.value(attributes, "value")
    if not 1 <= len(dimensions) <= _MOST_DIMENSIONS:
        raise NotKnown(f"<{node.tag}> with {len(dimensions)} dimensions")

    async def emit(context: Context) -> None:
        said = {name: str(value(context)) for name, value in dimensions.items()}

        def note(usage: Usage) -> None:
            tokens = {"prompt": usage.prompt, "completion": usage.completion, "total": usage.total}
            context.gateway.metrics.append({"namespace": namespace, "dimensions": said, **tokens})

        context.counting.append(note)

    return emit


def content_safety(node: Node) -> Step:
    """Asks the content safety service about the prompt; 403 for what is too severe, or an attack where
    `shield-prompt` looks for them.
    """
    attributes = node.only("backend-id", "shield-prompt")
    backend, shield = (
        node.fixed(attributes, "backend-id"),
        node.fixed(attributes, "shield-prompt", "false", "true") == "true",
    )
    (categories,) = node.children("categories")
    levels = categories.fixed(
        categories.only("output-type"), "output-type", "FourSeverityLevels", "EightSeverityLevels"
    )
    limits = {}
    for child in categories.children("category"):
        given = child.only("name", "threshold")
        limits[child.fixed(given, "name", "Hate", "SelfHarm", "Sexual", "Violence")] = int(
            child.fixed(given, "threshold")
        )

    async def screen(context: Context) -> None:
        text = _prompt(context)
        if shield:
            found = await _ask(
                context,
                backend,
                f"/contentsafety/text:shieldPrompt?api-version={_SAFETY_VERSION}",
                {"userPrompt": text},
            )
            if found["userPromptAnalysis"]["attackDetected"]:
                raise _blocked()
        wanted = {"text": text, "categories": list(limits), "outputType": levels}
        found = await _ask(
            context, backend, f"/contentsafety/text:analyze?api-version={_SAFETY_VERSION}", wanted
        )
        if any(each["severity"] >= limits[each["category"]] for each in found["categoriesAnalysis"]):
            raise _blocked()

    return screen


def _blocked() -> Failure:
    return Failure(403, "Request failed content safety check.")


def semantic_lookup(node: Node) -> Step:
    """An answer that is found ends the inbound section: the backend is not asked, and no tokens are
    counted.
    """
    attributes = node.only("score-threshold", "embeddings-backend-id", "embeddings-backend-auth")
    node.fixed(attributes, "embeddings-backend-auth", "system-assigned")
    score, backend = (
        float(node.fixed(attributes, "score-threshold")),
        node.fixed(attributes, "embeddings-backend-id"),
    )
    varies = [child.value({"text": child.text}, "text") for child in node.children("vary-by")]

    async def lookup(context: Context) -> None:
        token = f"Bearer {await context.gateway.token(_COGNITIVE_SERVICES)}"
        found = await _ask(context, backend, "", {"input": _prompt(context)}, token)
        place = Place(tuple(str(value(context)) for value in varies), tuple(found["data"][0]["embedding"]))
        context.variables[_PLACE] = place
        if answer := context.gateway.cache.find(place, score):
            raise Hit(answer)

    return lookup


#: A variable that no policy can name.
_PLACE = "(semantic cache)"


class Hit(Exception):
    """The cache had the answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


def semantic_store(node: Node) -> Step:
    """Keeps an answer of 200 that is not streamed and was not looked up."""
    seconds = float(node.fixed(node.only("duration"), "duration"))
    node.empty()

    async def store(context: Context) -> None:
        answer, place = context.response, context.variables.get(_PLACE)
        if (
            answer is not None
            and place is not None
            and answer.status == 200
            and answer.chunks is None
            and not context.cached
        ):
            context.gateway.cache.keep(place, answer, seconds)

    return store


def _prompt(context: Context) -> str:
    """All texts of the request."""
    body = context.request.json()
    texts = [str(message.get("content") or "") for message in body.get("messages") or ()]
    asked = body.get("input") or body.get("prompt") or ()
    return "\n".join(map(str, [*texts, *([asked] if isinstance(asked, str) else asked)]))


async def _ask(
    context: Context, backend: str, route: str, body: Json, authorization: str | None = None
) -> Any:
    """A call of the gateway's own. Raises Failure with 500 for anything but 200."""
    gateway = context.gateway
    target = gateway.backends.pick(gateway.service, backend)
    if target is not None:
        headers = CIMultiDict(
            {"Content-Type": "application/json", **gateway.backends.credentials(gateway.service, target)}
        )
        if authorization is not None:
            headers["Authorization"] = authorization
        answer = await gateway.call(target, "POST", route, (headers, json.dumps(body).encode()))
        if answer.status == 200:
            return json.loads(await answer.read())
    raise Failure(500, "Internal server error")
