"""`cors`: which pages of other origins may call from a browser.
https://learn.microsoft.com/azure/api-management/cors-policy

A preflight from an unknown origin gets an empty 200 without a word on origins, which the browser takes for a
no; a call from one is served, and the browser keeps the answer to itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from multidict import CIMultiDict

from standins.gateway.context import Context, Step
from standins.gateway.document import Node
from standins.gateway.exchange import Response, Returned


class Preflighted(Returned):
    """A browser asked whether it may call."""


@dataclass(frozen=True)
class _Rules:
    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    seconds: str

    def allows(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins

    def tell(self, origin: str, answer: Response) -> None:
        answer.headers["Access-Control-Allow-Origin"] = origin
        if self.exposed:
            answer.headers["Access-Control-Expose-Headers"] = ",".join(self.exposed)

    def preflight(self, origin: str, asked: str) -> Response:
        answer = Response(200, CIMultiDict({"Content-Length": "0"}))
        if self.allows(origin):
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Methods"] = ",".join(self.methods)
            answer.headers["Access-Control-Allow-Headers"] = (
                asked if "*" in self.headers else ",".join(self.headers)
            )
            if self.seconds:
                answer.headers["Access-Control-Max-Age"] = self.seconds
        return answer


def cors(node: Node) -> Step:
    node.fixed(node.only("allow-credentials"), "allow-credentials", "false")
    rules = _rules(node)

    async def share(context: Context) -> None:
        origin = context.request.headers.get("Origin")
        if origin is None:
            return
        if context.request.method == "OPTIONS":
            raise Preflighted(
                rules.preflight(origin, context.request.headers.get("Access-Control-Request-Headers", ""))
            )
        if rules.allows(origin):
            context.answering.append(lambda answer: rules.tell(origin, answer))

    return share


def _rules(node: Node) -> _Rules:
    found = {
        child.tag: child
        for child in node.children("allowed-origins", "allowed-methods", "allowed-headers", "expose-headers")
    }
    methods = found.get("allowed-methods")
    seconds = (
        ""
        if methods is None
        else methods.fixed(methods.only("preflight-result-max-age"), "preflight-result-max-age")
    )

    def texts(tag: str, each: str) -> tuple[str, ...]:
        return tuple(child.text for child in found[tag].children(each)) if tag in found else ()

    return _Rules(
        texts("allowed-origins", "origin"),
        texts("allowed-methods", "method"),
        texts("allowed-headers", "header"),
        texts("expose-headers", "header"),
        seconds,
    )
