"""The gateway of one API Management service: it enforces what Resource Manager's stand-in holds for it.

Products, subscriptions, APIs with their operations, policies, fragments, backends and named values are read
as they are at the moment of a call; there is no delay until a change is in force. Policies are executed from
their XML (`compiler`): elements, attributes and texts of expressions that are not known are answered with 500
and a line on standard error. `OPTIONS` says what can be changed; the control interface's report has `log`
(calls, without keys), `metrics` (`llm-emit-token-metric`) and `tripped` (backends); forgetting it resets
counters, breakers and kept answers too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from standins.gateway.facilities import SERVER, Facilities
from standins.gateway.server import Server
from standins.http import application, route
from standins.world import SUBSCRIPTION, Report, World

#: Where it does otherwise than the real gateway, or where nobody says what that does. `standins/COVERAGE.md`
#: lists them.
DIFFERENCES = (
    "A change is in force with the next call; the real gateway learns of it after seconds or minutes.",
    (
        "Windows of a minute are fixed, as in the classic tiers; the v2 tiers fill a bucket. Counters are "
        "exact, and those of one gateway."
    ),
    "Tokens of a stream are guessed from the texts: four characters each.",
    (
        "Whether `retry` sees a backend that does not answer as `context.Response == null` is not "
        "documented; here it does, and `context.LastError` has the reason. A circuit breaker counts it where "
        "its rule names the reason."
    ),
    (
        "A breaker whose time is over lets all calls through again. When all backends have tripped, the body "
        "of the 503 is the stand-in's own; an option makes it an error."
    ),
    "Where a policy of the service itself reads JSON, it must be strict; the real gateway's reader takes "
    "comments, single quotes and the like.",
    "Whether a retry asks another member of a pool, and whether `authentication-managed-identity` sets the "
    "header beside its variable, is not documented: options choose.",
    "A key that opens nothing is refused also where a product is open. For some time in 2024 Microsoft's "
    "page said that such a key is ignored there; it was taken back.",
    "Secrets of named values are read past the vault's roles.",
    "An answer out of the semantic cache costs no tokens and emits no metric; streams are not kept.",
)
OPTIONS: dict[str, Any] = {
    # The API Management service whose gateway this is.
    "service": (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai/providers/Microsoft.ApiManagement/service/contoso-"
        "ai"
    ),
    # Host of a backend, with its port if it has one -> base URL of the server that stands for it; without one
    # the address of `ingress` is that server, and all others are the model servers.
    "hosts": {},
    # Whether a retry stays with the member of a pool that the attempt before asked, unless
    # `set-backend-service` names the pool again.
    "retry_keeps_member": False,
    # Whether a pool whose breakers have all tripped is an error (`on-error`) or an answer (`outbound`).
    "exhausted_pool_fails": False,
    # Whether `authentication-managed-identity` sets `Authorization` although it names a variable.
    "identity_sets_header": False,
    # How long a backend may be silent, in seconds of real time.
    "timeout_seconds": 60.0,
}


def build(world: World) -> web.Application:
    """Routes of the server: one, for the operations are those that were imported."""
    app = application(world, SERVER)
    facilities = Facilities(world, world.options_of(SERVER, OPTIONS))
    world.reports[SERVER] = Report(facilities.report, facilities.forget)

    async def client(_: web.Application) -> AsyncIterator[None]:
        async with facilities.client():
            yield

    app.cleanup_ctx.append(client)
    route(app, "*", "/{path:.*}", "call", Server(facilities).serve)
    return app
