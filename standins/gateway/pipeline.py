"""One call through the policies: those of the operation, the API, the product and the service, each where the
narrower one says `base`.
"""

from __future__ import annotations

from dataclasses import replace

from standins.gateway.ai import Hit
from standins.gateway.context import Context, Policy
from standins.gateway.cross_origin import Preflighted
from standins.gateway.document import base
from standins.gateway.exchange import Failure, Response, Returned
from standins.gateway.facilities import SERVER

#: What C# would fail with inside an expression: a variable that is not there, a text that is no number, no
#: object where one is needed.
_IN_EXPRESSIONS = (KeyError, ValueError, TypeError, AssertionError)


def policies_for(context: Context) -> list[Policy]:
    """From the narrowest scope to the widest. Keys for an API or for all of them have no product, and skip
    its policy.
    """
    gateway = context.gateway
    scopes = [
        *([context.operation["id"]] if context.operation else []),
        context.api["id"],
        *([context.product["id"]] if context.product else []),
        gateway.service,
    ]
    return [policy for scope in scopes if (policy := gateway.policy(scope)) is not None]


async def answer(context: Context) -> Response:
    """What the client gets. Raises NotKnown where a policy does."""
    policies = policies_for(context)
    try:
        await _call(policies, context)
    except Returned as returned:
        context.response = returned.answer
    except Failure as failure:
        await fail(policies, context, failure)
    except _IN_EXPRESSIONS as error:
        context.gateway.world.loud(SERVER, f"500 an expression failed: {type(error).__name__} {error}")
        await fail(policies, context, Failure(500, "Internal server error"))
    assert context.response is not None, "every way above leaves one"
    for change in context.answering:
        change(context.response)
    return context.response


async def _call(policies: list[Policy], context: Context) -> None:
    try:
        await _section(policies, "inbound", context)
        await _section(policies, "backend", context)
    except Hit as hit:
        context.response, context.cached = hit.answer, True
    if context.response is None:
        raise Failure(500, "Internal server error")
    _tell(context)
    await _section(policies, "outbound", context)


def _tell(context: Context) -> None:
    assert context.response is not None, "the caller made sure"
    for change in context.telling:
        change(context.response)


async def fail(policies: list[Policy], context: Context, failure: Failure) -> None:
    """The section `on-error`, which may change the answer that tells of the failure, or answer by itself:
    then no header of that answer is left.
    """
    context.response, context.last_error = failure.answer(), failure
    _tell(context)
    try:
        await _section(policies, "on-error", context)
    except Returned as returned:
        context.response = returned.answer


async def refuse(context: Context, failure: Failure) -> Response:
    """A call that has no valid key, or is for no operation, meets no policy but those for errors, and none of
    an operation: https://learn.microsoft.com/azure/api-management/api-management-error-handling-policies
    """
    await fail(policies_for(replace(context, operation=None, product=None)), context, failure)
    assert context.response is not None, "`fail` leaves one"
    return context.response


async def _section(policies: list[Policy], name: str, context: Context) -> None:
    if not policies:
        return
    for step in policies[0].sections[name]:
        if step is base:
            await _section(policies[1:], name, context)
        else:
            await step(context)


async def preflight(context: Context) -> Response | None:
    """The answer to a browser that asks whether it may call; None when no policy lets browsers in."""
    try:
        await _section(policies_for(replace(context, product=None)), "inbound", context)
    except Preflighted as asked:
        return asked.answer
    except (Failure, Returned, *_IN_EXPRESSIONS):
        pass
    return None
