"""From XML to steps: which function makes a step of which element."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from standins.gateway.ai import content_safety, emit_metric, semantic_lookup, semantic_store
from standins.gateway.context import Context, Policy, Step
from standins.gateway.cross_origin import cors
from standins.gateway.document import SECTIONS, Node, base, parse
from standins.gateway.exchange import NoAnswer, NotKnown, Response, Returned
from standins.gateway.expressions import value_of
from standins.gateway.forwarding import forward_request
from standins.gateway.limits import rate_limit, token_limit
from standins.gateway.message import (
    rewrite,
    set_backend,
    set_body,
    set_header,
    set_query,
    set_status,
    set_variable,
)
from standins.gateway.tokens import managed_identity, validate_token
from standins.gateway.tracing import trace


def compile_policy(xml: str) -> Policy:
    """Raises NotKnown for what this stand-in does not know."""
    root = Node(parse(xml), "")
    sections = {node.tag: steps(Node(node.element, node.tag)) for node in root.children(*SECTIONS)}
    if root.tag != "policies" or len(sections) != len(SECTIONS):
        raise NotKnown("a policy without one of its four sections")
    return Policy(sections)


def compile_fragment(xml: str, place: str) -> tuple[Step, ...]:
    return steps(Node(parse(xml), place))


def steps(parent: Node) -> tuple[Step, ...]:
    """Of the children, in their order."""
    if parent.text:
        raise NotKnown(f"text in <{parent.tag}>")
    return tuple(_step(node) for node in parent)


def _step(node: Node) -> Step:
    made = _ELEMENTS.get(node.tag)
    if made is None:
        raise NotKnown(f"<{node.tag}>")
    try:
        return made(node)
    except ValueError as error:  # no number where there must be one, or not one child where there must be
        raise NotKnown(f"<{node.tag}> as it is written: {error}") from error


async def run(todo: tuple[Step, ...], context: Context) -> None:
    for step in todo:
        await step(context)


def _base(node: Node) -> Step:
    node.only()
    node.empty()
    if node.element.getparent().tag not in SECTIONS:  # type: ignore[union-attr]  # it is never the root
        raise NotKnown("<base> inside another policy")
    return base


def _include(node: Node) -> Step:
    node.empty()
    name = node.fixed(node.only("fragment-id"), "fragment-id")

    async def include(context: Context) -> None:
        await run(context.gateway.fragment(name, node.place), context)

    return include


def _choose(node: Node) -> Step:
    node.only()
    branches = []
    for branch in node.children("when", "otherwise"):
        if branch.tag == "when":
            condition = branch.value(branch.only("condition"), "condition")
        else:
            branch.only()
            condition = value_of("otherwise")  # any text is true
        branches.append((condition, steps(branch)))

    async def choose(context: Context) -> None:
        for holds, todo in branches:
            if holds(context):
                await run(todo, context)
                return

    return choose


def _return(node: Node) -> Step:
    node.only()
    node.children("set-status", "set-header", "set-body")
    todo = steps(Node(node.element, "return-response"))

    async def answer(context: Context) -> None:
        before, context.response = context.response, Response(200)
        await run(todo, context)
        returned, context.response = context.response, before
        raise Returned(returned)

    return answer


def _retry(node: Node) -> Step:
    attributes = node.only("condition", "count", "interval", "first-fast-retry")
    again = node.value(attributes, "condition")
    count, interval = int(node.fixed(attributes, "count")), float(node.fixed(attributes, "interval"))
    fast = node.fixed(attributes, "first-fast-retry", "false", "true") == "true"
    todo = steps(node)

    async def retry(context: Context) -> None:
        for number in range(count + 1):
            if number and not (fast and number == 1):
                await context.gateway.wait(interval)
            failure = None
            try:
                await run(todo, context)
            except NoAnswer as error:  # the condition sees that there is no response
                context.response, failure = None, error
                context.last_error = error
            if number == count or not again(context):
                break
        if failure is not None:
            raise failure

    return retry


_ELEMENTS: Mapping[str, Callable[[Node], Step]] = {
    "authentication-managed-identity": managed_identity,
    "base": _base,
    "choose": _choose,
    "cors": cors,
    "forward-request": forward_request,
    "include-fragment": _include,
    "llm-content-safety": content_safety,
    "llm-emit-token-metric": emit_metric,
    "llm-semantic-cache-lookup": semantic_lookup,
    "llm-semantic-cache-store": semantic_store,
    "llm-token-limit": token_limit,
    "rate-limit-by-key": rate_limit,
    "retry": _retry,
    "return-response": _return,
    "rewrite-uri": rewrite,
    "set-backend-service": set_backend,
    "set-body": set_body,
    "set-header": set_header,
    "set-query-parameter": set_query,
    "set-status": set_status,
    "set-variable": set_variable,
    "trace": trace,
    "validate-azure-ad-token": validate_token,
}
