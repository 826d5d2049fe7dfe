"""What Resource Manager checks before it looks for the resource: token, number of requests, api-version,
subscription, roles.

Errors of a token:
https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors and
https://learn.microsoft.com/troubleshoot/azure/entra/entra-id/app-integration/troubleshoot-authorization-requestdenied-graph-api;
their texts are those that clients report of the live service.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler
from standins.identity import InvalidToken, verify
from standins.resource_manager.access import check_access
from standins.resource_manager.arm import VERSIONS, ArmError
from standins.resource_manager.throttling import Throttle
from standins.roles import options
from standins.world import SUBSCRIPTION, TENANT, World

#: The names of Resource Manager for which a token may be issued.
AUDIENCES = (
    "https://management.core.windows.net/",
    "https://management.core.windows.net",
    "https://management.azure.com/",
    "https://management.azure.com",
)
#: Operations that need no token, by kind: `standins.http.route`.
OPEN = frozenset({"GET metadata endpoints", "GET discovery", "GET keys", "POST token", "PUT options"})
#: Operations that anybody may call, and that show what the caller may see.
LISTS = frozenset({"LIST own subscriptions", "LIST own tenants"})
_ISSUER = "https://sts.windows.net/{}/"


def guard(world: World) -> Middleware:
    """Check, perform, and answer errors in Resource Manager's form."""
    throttle, settings = Throttle(world.clock), options(world)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers: dict[str, str] = {}
        try:
            kind = getattr(request.match_info.handler, "kind", None)
            if kind not in OPEN:
                request["claims"] = claims = _claims(world, request)
                if settings["throttling"]:
                    headers = throttle.count(request.method, _subscription(request), claims["oid"])
                _check_version(request)
                _check_subscription(request)
                if kind not in LISTS:
                    await check_access(world, request, claims)
            response = await handler(request)
        except ArmError as error:
            response = error.response()
        response.headers.update(headers)
        return response

    return check


def _claims(world: World, request: web.Request) -> dict[str, Any]:
    """Of the caller's token. Raises 401."""
    header = request.headers.get("Authorization")
    if header is None:
        why = "The authentication failed because of missing 'Authorization' header."
        raise _unauthorized(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.", why
        )
    try:
        claims = verify(world, header, AUDIENCES)
    except InvalidToken as error:
        raise _refused(header, error.__cause__) from error
    if claims["tid"] != TENANT:
        raise _foreign(claims["iss"])
    return claims


def _refused(header: str, cause: BaseException | None) -> ArmError:
    """Why a token that cannot be verified is none."""
    if isinstance(cause, jwt.ExpiredSignatureError):
        ended = datetime.fromtimestamp(_shown(header)["exp"], UTC)
        return _unauthorized(
            "ExpiredAuthenticationToken",
            f"The access token expiry UTC time '{_time(ended)}' is earlier than current UTC time "
            f"'{_time(datetime.now(UTC))}'.",
            "The access token expiry UTC time is earlier than current UTC time.",
        )
    if isinstance(cause, jwt.InvalidAudienceError):
        allowed = ",".join(f"'{audience}'" for audience in AUDIENCES)
        return _unauthorized(
            "InvalidAuthenticationTokenAudience",
            f"The access token has been obtained for wrong audience or resource '{_shown(header)['aud']}'. "
            f"It should exactly match with one of the allowed audiences {allowed}.",
            "The access token has been obtained from wrong audience or resource.",
        )
    return _unauthorized(
        "InvalidAuthenticationToken", "The access token is invalid.", "The access token is invalid."
    )


def _foreign(issuer: str) -> ArmError:
    home = _ISSUER.format(TENANT)
    return _unauthorized(
        "InvalidAuthenticationTokenTenant",
        f"The access token is from the wrong issuer '{issuer}'. It must match the tenant '{home}' associated "
        f"with this subscription. Please use the authority (URL) 'https://login.windows.net/{TENANT}' to get "
        "the token. Note, if the subscription is transferred to another tenant there is no impact to the "
        "services, but information about new tenant could take time to propagate (up to an hour). If you "
        "just transferred your subscription and see this error message, please try back later.",
        "The access token is from the wrong issuer. It must match the tenant associated with this "
        "subscription.",
    )


def _unauthorized(code: str, message: str, why: str) -> ArmError:
    challenge = (
        f'Bearer authorization_uri="https://login.windows.net/{TENANT}", error="invalid_token", '
        f'error_description="{why}"'
    )
    return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})


def _shown(header: str) -> dict[str, Any]:
    """What the token says of itself; it is one, since only its meaning was wrong."""
    return dict(jwt.decode(header.partition(" ")[2], options={"verify_signature": False}))


def _time(when: datetime) -> str:
    return f"{when.month}/{when.day}/{when.year} {when:%I:%M:%S %p}"


def _check_version(request: web.Request) -> None:
    version = request.query.get("api-version")
    if version is None:
        raise ArmError(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    # A provider alone, without a type behind it, is a resource of Microsoft.Resources, as the subscription
    # is.
    named, of_a_type, _ = request.path.lower().rpartition("/providers/")[2].partition("/")
    provider = named if of_a_type else "microsoft.resources"
    known = VERSIONS.get(provider, (version,))
    if version not in known:
        message = (
            f"The supported api-versions of '{provider}' are '{', '.join(known)}', '{version}' is not one of "
            "them."
        )
        raise ArmError(400, "NoRegisteredProviderFound", message)


def _subscription(request: web.Request) -> str | None:
    """The subscription that the path is in, if it is in one."""
    parts = request.path.strip("/").split("/")
    return parts[1] if len(parts) > 1 and parts[0].lower() == "subscriptions" else None


def _check_subscription(request: web.Request) -> None:
    name = _subscription(request)
    if name is not None and name.lower() != SUBSCRIPTION:
        raise ArmError(404, "SubscriptionNotFound", f"The subscription '{name}' could not be found.")
