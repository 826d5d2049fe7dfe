"""Who may do what: the challenge for a token, then roles, as a vault with RBAC decides.

https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
https://learn.microsoft.com/azure/key-vault/general/rbac-guide
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler
from standins.identity import InvalidToken, principal, verify
from standins.key_vault.vault import VaultError
from standins.roles import holds_role
from standins.world import TENANT, World

RESOURCE = "https://vault.azure.net"

_OFFICERS = frozenset({"b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "00482a5a-887f-4fb3-b363-3b7fe8e74483"})  # Secrets Officer, Administrator
_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
_READER = "21090545-7ca7-4776-b22c-e363652d74d2"
#: Data action by the kind of the operation (see `standins.http.route`), and who may do it besides officers.
_ACTIONS = {
    "GET secret": ("getSecret", {_SECRETS_USER}),
    "GET secret versions": ("readMetadata", {_SECRETS_USER, _READER}),
    "LIST secrets": ("readMetadata", {_SECRETS_USER, _READER}),
    "PUT secret": ("setSecret", set()),
    "PATCH secret": ("update", set()),
    "DELETE secret": ("delete", set()),
    "GET deleted secret": ("readMetadata", {_SECRETS_USER, _READER}),
    "POST secret recover": ("recover", set()),
    "DELETE deleted secret": ("purge", set()),
}


def guard(world: World) -> Middleware:
    """Check token, api-version and role before the operation, and answer errors in the vault's form."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            claims = verify(world, request.headers.get("Authorization"), (RESOURCE,))
        except InvalidToken as error:
            return _challenge(world, str(error))
        try:
            if "api-version" not in request.query:
                raise VaultError(400, "BadParameter", "api-version must be specified")
            _check_role(world, request, claims)
            return await handler(request)
        except VaultError as error:
            return error.response()

    return check


def _challenge(world: World, reason: str) -> web.Response:
    """The SDK sends its first request without token and body, and learns from this answer where to get a token, and for whom."""
    authority = world.addresses.get("identity", "https://login.microsoftonline.com")
    header = f'Bearer authorization="{authority}/{TENANT}", resource="{RESOURCE}"'
    return VaultError(401, "Unauthorized", f"AKV10000: {reason}").response({"WWW-Authenticate": header})


def _check_role(world: World, request: web.Request, claims: dict[str, Any]) -> None:
    """The app's own identity is a secrets officer of the vault; everybody else needs a role assignment."""
    if claims["oid"] == principal():
        return
    action, roles = _ACTIONS[getattr(request.match_info.handler, "kind")]  # noqa: B009  # set by standins.http.route, unknown to mypy
    scope = _scopes(request.match_info.get("name"))
    if not holds_role(world, {claims["oid"], *claims.get("groups", ())}, roles | _OFFICERS, scope):
        message = (
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were "
            f"changed recently, please observe propagation time.\r\nCaller: appid={claims['appid']};oid={claims['oid']}\r\n"
            f"Action: 'Microsoft.KeyVault/vaults/secrets/{action}/action'\r\nAssignment: (not found)"
        )
        raise VaultError(403, "Forbidden", message, "ForbiddenByRbac")


def _scopes(name: str | None) -> re.Pattern[str]:
    """Scopes at which an assignment counts: subscription, resource group, a vault of any name (this server is all of them), the secret."""
    secret = "" if name is None else f"(/secrets/{re.escape(name.lower())})?"
    return re.compile(rf"/subscriptions/[^/]+(/resourcegroups/[^/]+(/providers/microsoft\.keyvault/vaults/[^/]+{secret})?)?")
