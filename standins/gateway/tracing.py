"""`trace`: a line of a policy's own in the log. https://learn.microsoft.com/azure/api-management/trace-policy"""

from __future__ import annotations

from standins.gateway.context import Context, Step
from standins.gateway.document import Node
from standins.gateway.exchange import NotKnown
from standins.gateway.expressions import value_of


def trace(node: Node) -> Step:
    """Noted in the call's line of the log: `{source, severity, message, ...}`, with its metadata."""
    attributes = node.only("source", "severity")
    source = node.fixed(attributes, "source")
    severity = node.fixed(attributes, "severity", "verbose", "information", "error")
    messages, metadata = [], {}
    for child in node.children("message", "metadata"):
        given = child.only(*(("name", "value") if child.tag == "metadata" else ()))
        if child.tag == "message":
            messages.append(value_of(child.text))
        else:
            child.empty()
            metadata[child.fixed(given, "name")] = child.value(given, "value")
    if not source or len(messages) != 1:
        raise NotKnown("<trace> without a source, or without one message")

    async def write(context: Context) -> None:
        said = {name: str(value(context)) for name, value in metadata.items()}
        line = {"source": source, "severity": severity, "message": str(messages[0](context))}
        context.traces.append({**line, **said})

    return write
