"""Who may do what: the challenge for a token, then roles, as a vault with RBAC decides.

https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
https://learn.microsoft.com/azure/key-vault/general/rbac-guide
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import jwt
from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler
from standins.identity import InvalidToken, principal, verify
from standins.key_vault.errors import VaultError
from standins.key_vault.throttle import Throttle
from standins.resource_manager.conditions import matches
from standins.resource_manager.role_definitions import permissions_of
from standins.roles import in_force
from standins.world import SUBSCRIPTION, TENANT, Options, Right, World

RESOURCE = "https://vault.azure.net"
#: Those that azure-keyvault-secrets knows.
VERSIONS = ("2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01")

_ISSUERS = (f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0")
_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_NAMELESS = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai/providers/Microsoft.KeyVault/vaults/contoso-keys"
)

#: Data action by the kind of the operation (see `standins.http.route`).
_ACTIONS = {
    "GET secret": "getSecret/action",
    "GET secret versions": "readMetadata/action",
    "LIST secrets": "readMetadata/action",
    "PUT secret": "setSecret/action",
    "PATCH secret": "update/action",
    "DELETE secret": "delete",
    "LIST deleted secrets": "readMetadata/action",
    # Its description says "requires the secrets/get permission", and of the list "secrets/list":
    # https://learn.microsoft.com/rest/api/keyvault/secrets/get-deleted-secret
    "GET deleted secret": "getSecret/action",
    "POST secret recover": "recover/action",
    "DELETE deleted secret": "purge/action",
}
#: What the app's own identity may do, by infra/roles.json: it writes keys and cannot read them, nor make
#: their deletion final.
OWN_ACTIONS = {"readMetadata/action", "setSecret/action", "update/action", "delete", "recover/action"}


def guard(world: World, options: Options) -> Middleware:
    """Check token, api-version, name, rate and role before the operation, and answer errors in the vault's
    form.
    """
    throttle = Throttle(world.clock, options)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            claims = _claims(world, request)
            # set by standins.http.route, unknown to mypy
            kind = getattr(request.match_info.handler, "kind")  # noqa: B009
            throttle.count(kind)
            _check_form(request)
            _Caller(world, options, claims).require(_ACTIONS[kind], request.match_info.get("name"))
            response = await handler(request)
        except VaultError as error:
            response = error.response(_challenge(world) if error.status == 401 else None)
        response.headers.update({"Cache-Control": "no-cache", "x-ms-request-id": str(uuid.uuid4())})
        return response

    return check


def _challenge(world: World) -> dict[str, str]:
    """The SDK sends its first request without token and body, and learns from this answer where to get a
    token, and for whom.
    """
    authority = world.addresses.get("identity", "https://login.microsoftonline.com")
    return {"WWW-Authenticate": f'Bearer authorization="{authority}/{TENANT}", resource="{RESOURCE}"'}


def _claims(world: World, request: web.Request) -> dict[str, Any]:
    """Of the caller's token. Raises 401."""
    header = request.headers.get("Authorization")
    if not header or not header.lower().startswith("bearer "):
        raise _unauthorized("AKV10000: Request is missing a Bearer or PoP token.")
    found = _unverified(header)
    if (audience := found.get("aud")) is not None and str(audience).rstrip("/") != RESOURCE:
        raise _unauthorized(f"AKV10022: Invalid audience. Expected {RESOURCE}, found: {audience}.")
    if (issuer := found.get("iss")) is not None and issuer not in _ISSUERS:
        raise _unauthorized(
            f"AKV10032: Invalid issuer. Expected one of {', '.join(_ISSUERS)}, found {issuer}."
        )
    try:
        return verify(world, header, (RESOURCE,))
    except InvalidToken as error:
        raise _unauthorized(f"Error validating token: {error}.") from error


def _unverified(header: str) -> dict[str, Any]:
    """What a token says of itself; nothing when it is none."""
    try:
        return dict(jwt.decode(header.partition(" ")[2], options={"verify_signature": False}))
    except jwt.InvalidTokenError:
        return {}


def _unauthorized(message: str) -> VaultError:
    return VaultError(401, "Unauthorized", message)


def _check_form(request: web.Request) -> None:
    version, name = request.query.get("api-version"), request.match_info.get("name", "x")
    if version is None:
        raise VaultError(400, "BadParameter", "api-version must be specified")
    if version not in VERSIONS:
        message = (
            f"The specified version ({version}) is not recognized. Consider using the latest supported "
            f"version ({VERSIONS[-1]})."
        )
        raise VaultError(400, "BadParameter", message)
    if not _NAME.fullmatch(name):
        raise VaultError(400, "BadParameter", f"The request URI contains an invalid name: {name}")


class _Caller:
    """The identity behind a token, with the groups it is in."""

    def __init__(self, world: World, options: Options, claims: dict[str, Any]) -> None:
        self._world = world
        self._vault_id: str = options["vault_id"]
        self._officers: list[str] = options["officers"]
        self._claims = claims

    def require(self, action: str, name: str | None) -> None:
        """Raises 403. `name` is the secret's; without one the whole vault is meant."""
        if not self._may(action, name):
            raise self._forbidden(action, name)
        needed = f"Microsoft.KeyVault/vaults/secrets/{action}"
        self._world.rights.add(Right("key-vault", self._claims["oid"], needed, name or ""))

    def _may(self, action: str, name: str | None) -> bool:
        if self._claims["oid"] == principal():
            return action in OWN_ACTIONS
        if self._claims["appid"] in self._officers:
            return True
        principals, scopes = {self._claims["oid"], *self._claims.get("groups", ())}, self._scopes(name)
        return any(
            row["properties"]["principalId"].lower() in principals
            and scopes.fullmatch(row["properties"]["scope"].lower())
            and self._allows(row["properties"], f"Microsoft.KeyVault/vaults/secrets/{action}")
            for row in in_force(self._world)
        )

    def _allows(self, assignment: dict[str, Any], action: str) -> bool:
        """Whether the role of the assignment has this data action. Raises 501 for a condition on it, which is
        not evaluated here.
        """
        permissions = permissions_of(self._world, assignment["roleDefinitionId"].rsplit("/", 1)[-1])
        found = any(
            any(matches(pattern, action) for pattern in one["dataActions"])
            and not any(matches(pattern, action) for pattern in one["notDataActions"])
            for one in permissions
        )
        if found and assignment.get("condition"):
            self._world.loud("key-vault", f"501 a condition of a role for secrets: {assignment['condition']}")
            raise VaultError(
                501, "NotImplemented", "This stand-in does not know conditions of roles for secrets."
            )
        return found

    def _scopes(self, name: str | None) -> re.Pattern[str]:
        """Scopes at which an assignment counts: subscription, resource group, vault, the secret."""
        subscription, group, vault = (
            "/subscriptions/[^/]+",
            "/resourcegroups/[^/]+",
            "/providers/microsoft.keyvault/vaults/[^/]+",
        )
        if self._vault_id:
            parts = re.split("(?=/resourcegroups/|/providers/)", self._vault_id.lower())
            subscription, group, vault = (re.escape(part) for part in parts)
        secret = "" if name is None else f"(/secrets/{re.escape(name.lower())})?"
        return re.compile(rf"{subscription}({group}({vault}{secret})?)?")

    def _forbidden(self, action: str, name: str | None) -> VaultError:
        claims, vault = self._claims, self._vault_id or _NAMELESS
        message = (
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny "
            "assignments or role definitions were changed recently, please observe propagation time.\r\n"
            f"Caller: appid={claims['appid']};oid={claims['oid']};iss={claims['iss']}\r\n"
            f"Action: 'Microsoft.KeyVault/vaults/secrets/{action}'\r\n"
            f"Resource: '{vault.lower()}{f'/secrets/{name}' if name else ''}'\r\n"
            "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' "
            f"\r\nVault: {vault.rpartition('/')[2]};location=westeurope\r\n"
        )
        return VaultError(403, "Forbidden", message, "ForbiddenByRbac")
