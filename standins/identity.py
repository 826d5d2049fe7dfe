"""Entra ID as far as the app needs it: the managed identity endpoint of App Service, client credentials, OpenID discovery.

Tokens are JWTs signed with HS256 and a key kept in the folder, so that every stand-in can verify them (`verify`). Real tokens are
signed with RS256; no client looks inside a token, so only the stand-ins could tell. Sources:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import re
import secrets
import time
import uuid
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web

from standins.http import application, route
from standins.world import TENANT, World

#: What App Service would put into the app's environment as IDENTITY_HEADER.
IDENTITY_HEADER = "local-identity-header"
#: The secret of every client that asks with client credentials.
CLIENT_SECRET = "local-client-secret"
#: A client id that ends like this belongs to the group: `team-reader-<group's object id>`.
_MEMBER = re.compile(r".+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
_PRINCIPALS = uuid.UUID("6c1f7a35-1a5e-4c53-9c2b-6f7f0a3d1d4e")
_LIFETIME = 24 * 3600


class InvalidToken(Exception):
    """The Authorization header does not carry a valid token for this service; the text says why, without the token."""


def principal(client_id: str | None = None) -> str:
    """The object id behind a client id. None is the app's own (system-assigned) identity."""
    return str(uuid.uuid5(_PRINCIPALS, client_id or "system-assigned"))


def verify(world: World, authorization: str | None, audiences: Iterable[str]) -> dict[str, Any]:
    """The claims of a bearer token: aud, iss, tid, oid, appid, iat, nbf, exp, and groups if any.

    `authorization` is the header's text. Raises InvalidToken when it is absent, forged, expired or meant for another service.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("the bearer token is missing")
    accepted = {spelling for audience in audiences for spelling in (audience.rstrip("/"), audience.rstrip("/") + "/")}
    try:
        claims: dict[str, Any] = jwt.decode(token, _signing_key(world.folder), algorithms=["HS256"], audience=accepted)
    except jwt.InvalidTokenError as error:
        raise InvalidToken(str(error)) from error
    return claims


def build(world: World) -> web.Application:
    """Routes of the server: plain http, as on App Service."""
    app = application(world, "identity")
    route(app, "GET", "/msi/token", "GET managed identity token", partial(_managed_identity, world))
    route(app, "POST", "/{tenant}/oauth2/v2.0/token", "POST token", partial(_client_credentials, world))
    route(app, "GET", "/{tenant}/v2.0/.well-known/openid-configuration", "GET discovery", _discovery)
    return app


async def _managed_identity(world: World, request: web.Request) -> web.Response:
    if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
        return web.json_response({"statusCode": 401, "message": "the X-IDENTITY-HEADER is wrong"}, status=401)
    resource, client = request.query.get("resource"), request.query.get("client_id")
    if not resource or request.query.get("api-version") != "2019-08-01":
        return web.json_response({"statusCode": 400, "message": "resource and api-version=2019-08-01 are required"}, status=400)
    token, expires = _issue(world, resource, client)
    answer = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
    return web.json_response(answer | {"client_id": client or principal()})


async def _client_credentials(world: World, request: web.Request) -> web.Response:
    form = await request.post()
    scope, client = str(form.get("scope", "")), str(form.get("client_id", ""))
    if form.get("grant_type") != "client_credentials":
        return _refuse(400, "unsupported_grant_type", "AADSTS70003: only client_credentials is known here")
    if form.get("client_secret") != CLIENT_SECRET:
        return _refuse(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
    if not client or not scope.endswith("/.default"):
        return _refuse(400, "invalid_scope", "AADSTS1002012: The scope must be qualified with '/.default'.")
    token, _ = _issue(world, scope.removesuffix("/.default"), client)
    return web.json_response({"token_type": "Bearer", "expires_in": _LIFETIME, "ext_expires_in": _LIFETIME, "access_token": token})


def _refuse(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)


async def _discovery(request: web.Request) -> web.Response:
    """Without `jwks_uri`: the key is symmetric, so there is no public one to show."""
    base = f"{request.scheme}://{request.host}/{request.match_info['tenant']}"
    endpoints = {"authorization_endpoint": f"{base}/oauth2/v2.0/authorize", "token_endpoint": f"{base}/oauth2/v2.0/token"}
    return web.json_response({"issuer": f"{base}/v2.0", **endpoints, "token_endpoint_auth_methods_supported": ["client_secret_post"]})


def _issue(world: World, audience: str, client: str | None) -> tuple[str, int]:
    # Real time, not the world's clock: the SDKs cache a token by the real clock, and would go on sending one that expired on a moved clock.
    now = int(time.time())
    subject = principal(client)
    claims: dict[str, Any] = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "tid": TENANT, "oid": subject}
    claims |= {"sub": subject, "appid": client or subject, "iat": now, "nbf": now - 300, "exp": now + _LIFETIME}
    if client and (member := _MEMBER.fullmatch(client)):
        claims["groups"] = [member[1].lower()]
    return jwt.encode(claims, _signing_key(world.folder), algorithm="HS256"), now + _LIFETIME


@cache
def _signing_key(folder: Path) -> str:
    path = folder / "identity.key"
    if not path.exists():
        path.write_text(secrets.token_hex(32))
    return path.read_text()
