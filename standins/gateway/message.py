"""Policies that change the request or the answer: which of both depends on where they stand."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict

from standins.gateway.context import Context, Step
from standins.gateway.document import Node
from standins.gateway.exchange import NotKnown, Response
from standins.gateway.expressions import Value, value_of

_OF_THE_REQUEST = ("inbound", "backend")
_ACTIONS = ("override", "skip", "append", "delete")


def _answer(context: Context) -> Response:
    assert context.response is not None, "there is one in outbound, on-error and return-response"
    return context.response


def _headers(context: Context, place: str) -> CIMultiDict[str]:
    return context.request.headers if place in _OF_THE_REQUEST else _answer(context).headers


def set_variable(node: Node) -> Step:
    attributes = node.only("name", "value")
    node.empty()
    name, value = node.fixed(attributes, "name"), node.value(attributes, "value")

    async def assign(context: Context) -> None:
        context.variables[name] = value(context)

    return assign


def set_header(node: Node) -> Step:
    attributes = node.only("name", "exists-action")
    name, what = node.fixed(attributes, "name"), _action(node, attributes)
    values = [value_of(child.text) for child in node.children("value")]
    if attributes.get("exists-action") == "delete" and values:
        raise NotKnown('<set-header exists-action="delete"> with values')
    if attributes.get("exists-action") != "delete" and not values:
        raise NotKnown("<set-header> without a value")

    async def change(context: Context) -> None:
        headers, action = _headers(context, node.place), what(context)
        if action == "skip" and name in headers:
            return
        if action in ("override", "delete"):
            headers.popall(name, None)
        for value in values if action != "delete" else ():
            headers.add(name, str(value(context)))

    return change


def _action(node: Node, attributes: Mapping[str, str]) -> Value:
    """What to do with a header that is there already, which an expression may say."""
    if attributes.get("exists-action", "").startswith("@"):
        return value_of(attributes["exists-action"])
    return value_of(node.fixed(attributes, "exists-action", *_ACTIONS))


def set_query(node: Node) -> Step:
    attributes = node.only("name", "exists-action")
    name = node.fixed(attributes, "name")
    if node.fixed(attributes, "exists-action", "delete") != "delete" or node.place not in _OF_THE_REQUEST:
        raise NotKnown("<set-query-parameter> that does not delete")
    node.empty()

    async def change(context: Context) -> None:
        for given in [given for given in context.request.query if given.lower() == name.lower()]:
            context.request.query.popall(given, None)

    return change


def set_body(node: Node) -> Step:
    node.only()
    node.children()
    value = value_of(node.text)

    async def change(context: Context) -> None:
        # .NET writes half a character as the sign for an unreadable one.
        whole = str(value(context)).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        body = whole.encode()
        if node.place in _OF_THE_REQUEST:
            context.request.body = body
        else:
            answer = _answer(context)
            answer.body, answer.chunks = body, None

    return change


def set_status(node: Node) -> Step:
    attributes = node.only("code", "reason")
    node.empty()
    code, reason = node.value(attributes, "code"), value_of(attributes.get("reason", ""))
    if not attributes["code"].startswith("@"):
        int(attributes["code"])
    if node.place in _OF_THE_REQUEST:
        raise NotKnown("<set-status> of a request")

    async def change(context: Context) -> None:
        said = int(code(context)), str(reason(context)) or None
        _answer(context).status, _answer(context).reason = said

    return change


def rewrite(node: Node) -> Step:
    attributes = node.only("template", "copy-unmatched-params")
    node.empty()
    template = node.value(attributes, "template")
    keeps = node.fixed(attributes, "copy-unmatched-params", "true", "false") == "true"
    if "{" in attributes["template"] and not attributes["template"].startswith("@"):
        raise NotKnown("parameters in the template of <rewrite-uri>")

    async def change(context: Context) -> None:
        context.route, context.keeps_query = str(template(context)), keeps

    return change


def set_backend(node: Node) -> Step:
    attributes = node.only("backend-id")
    node.empty()
    if not attributes.get("backend-id") or node.place not in _OF_THE_REQUEST:
        raise NotKnown("<set-backend-service> without a backend-id, or for an answer")
    name = node.value(attributes, "backend-id")

    async def change(context: Context) -> None:
        context.backend, context.member = str(name(context)), None

    return change
