"""Entra ID as far as the app needs it: the managed identity endpoint of App Service, client credentials,
OpenID discovery.

Tokens are JWTs signed with RS256 and a key kept in the folder, so that every stand-in can verify them
(`verify`), and whoever reads the discovery document too. They have version 1, as for an API that does not ask
for another. Sources:
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from standins.http import application, route
from standins.store import Store, Table
from standins.world import TENANT, World

#: What App Service would put into the app's environment as IDENTITY_HEADER.
IDENTITY_HEADER = "local-identity-header"
#: The secret of every client that asks with client credentials.
CLIENT_SECRET = "local-client-secret"
#: A client id that ends like this belongs to the group: `team-reader-<group's object id>`.
_MEMBER = re.compile(r".+-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
#: A client id that ends like this plays a person with an app role: `anna.Operator`.
_PERSON = re.compile(r"(?P<name>.+)\.(?P<role>[A-Z][A-Za-z]+)")
#: A client id that ends like this is in more groups than a token may name: `carol-in-too-many-groups`.
_CROWDED = "-in-too-many-groups"
_PRINCIPALS = uuid.UUID("6c1f7a35-1a5e-4c53-9c2b-6f7f0a3d1d4e")
#: A tenant that owns nothing here: its tokens are genuine, and open nothing.
OTHER_TENANT = "22222222-2222-4222-8222-222222222222"
OPTIONS: Mapping[str, Any] = {
    # How long a token is valid, in seconds of real time; of 0 it has expired when it arrives. Those of a
    # managed identity live for a day.
    # https://learn.microsoft.com/entra/identity-platform/access-tokens#token-lifetime
    "managed_identity_seconds": 24 * 3600,
    "client_credentials_seconds": 3599,
}


class InvalidToken(Exception):
    """The Authorization header does not carry a valid token for this service; the text says why, without the
    token.
    """


def principal(client_id: str | None = None) -> str:
    """The object id behind a client id. None is the app's own (system-assigned) identity."""
    return str(uuid.uuid5(_PRINCIPALS, client_id or "system-assigned"))


def groups_of(world: World, object_id: str) -> list[str]:
    """The groups of a principal that has had a token; none for others."""
    groups: list[str] = _memberships(world.folder).get(object_id, [])
    return groups


def verify(world: World, authorization: str | None, audiences: Iterable[str]) -> dict[str, Any]:
    """The claims of a bearer token: aud, iss, tid, oid, appid, iat, nbf, exp, and groups, name and roles if
    any.

    `authorization` is the header's text. Raises InvalidToken when it is absent, forged, expired or meant for
    another service.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken("the bearer token is missing")
    accepted = {
        spelling for audience in audiences for spelling in (audience.rstrip("/"), audience.rstrip("/") + "/")
    }
    try:
        claims: dict[str, Any] = jwt.decode(
            token, _signing_key(world.folder).public_key(), algorithms=["RS256"], audience=accepted
        )
    except jwt.InvalidTokenError as error:
        raise InvalidToken(str(error)) from error
    return claims


def build(world: World) -> web.Application:
    """Routes of the server: plain http, as on App Service."""
    app = application(world, "identity")
    world.options_of("identity", OPTIONS)
    route(app, "GET", "/msi/token", "GET managed identity token", partial(_managed_identity, world))
    entra_routes(app, world)
    return app


def entra_routes(app: web.Application, world: World) -> None:
    """What login.microsoftonline.com answers. Resource Manager's stand-in has it too, because MSAL refuses
    http.
    """
    route(app, "POST", "/{tenant}/oauth2/v2.0/token", "POST token", partial(_client_credentials, world))
    route(app, "GET", "/{tenant}/v2.0/.well-known/openid-configuration", "GET discovery", _discovery)
    route(app, "GET", "/{tenant}/.well-known/openid-configuration", "GET discovery", _discovery)
    route(app, "GET", "/{tenant}/discovery/v2.0/keys", "GET keys", partial(_public_keys, world))


async def _managed_identity(world: World, request: web.Request) -> web.Response:
    if request.headers.get("X-IDENTITY-HEADER") != IDENTITY_HEADER:
        return web.json_response({"statusCode": 401, "message": "the X-IDENTITY-HEADER is wrong"}, status=401)
    resource, client = request.query.get("resource"), request.query.get("client_id")
    if not resource or request.query.get("api-version") != "2019-08-01":
        return web.json_response(
            {"statusCode": 400, "message": "resource and api-version=2019-08-01 are required"}, status=400
        )
    token, expires = _issue(world, resource, client, _seconds(world, "managed_identity_seconds"))
    answer = {"access_token": token, "expires_on": str(expires), "resource": resource, "token_type": "Bearer"}
    return web.json_response(answer | {"client_id": client or principal()})


async def _client_credentials(world: World, request: web.Request) -> web.Response:
    form, tenant = await request.post(), request.match_info["tenant"].lower()
    scope, client = str(form.get("scope", "")), str(form.get("client_id", ""))
    if tenant not in (TENANT, OTHER_TENANT):
        return _refuse(
            400,
            "invalid_request",
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
        )
    if form.get("grant_type") != "client_credentials":
        return _refuse(
            400,
            "unsupported_grant_type",
            70003,
            "The app requested an unsupported grant type: only client_credentials here.",
        )
    if form.get("client_secret") != CLIENT_SECRET:
        return _refuse(401, "invalid_client", 7000215, f"Invalid client secret provided for app '{client}'.")
    if not client or not scope.endswith("/.default"):
        return _refuse(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid: it must end with '/.default'.",
        )
    seconds = _seconds(world, "client_credentials_seconds")
    token, _ = _issue(world, scope.removesuffix("/.default"), client, seconds, tenant)
    return web.json_response(
        {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
    )


def _refuse(status: int, error: str, code: int, description: str) -> web.Response:
    """https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""
    return web.json_response(
        {"error": error, "error_description": f"AADSTS{code}: {description}", "error_codes": [code]},
        status=status,
    )


async def _discovery(request: web.Request) -> web.Response:
    """Both versions: that of version 1 names the issuer as tokens of version 1 do.
    https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-issuer
    """
    tenant = request.match_info["tenant"].lower()
    if tenant not in (TENANT, OTHER_TENANT):
        return _refuse(
            400,
            "invalid_tenant",
            90002,
            f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID.",
        )
    base = f"{request.scheme}://{request.host}/{tenant}"
    endpoints = {
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
    }
    endpoints["jwks_uri"] = f"{base}/discovery/v2.0/keys"
    issuer = f"{base}/v2.0" if "/v2.0/" in request.path else _issuer(tenant)
    return web.json_response(
        {
            "issuer": issuer,
            **endpoints,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }
    )


async def _public_keys(world: World, _: web.Request) -> web.Response:
    key = _signing_key(world.folder).public_key()
    shown = {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": _key_id(world.folder), "use": "sig"}
    return web.json_response({"keys": [{name: shown[name] for name in ("kty", "use", "kid", "n", "e")}]})


def _issuer(tenant: str) -> str:
    """Of tokens of version 1."""
    return f"https://sts.windows.net/{tenant}/"


def _seconds(world: World, option: str) -> int:
    # Resource Manager may run without the identity server, which declares them.
    return int(world.options["identity"][option] if "identity" in world.options else OPTIONS[option])


def _issue(
    world: World, audience: str, client: str | None, seconds: int, tenant: str = TENANT
) -> tuple[str, int]:
    # Real time, not the world's clock: the SDKs cache a token by the real clock, and would go on sending one
    # that expired on a moved clock.
    now = int(time.time())
    subject = principal(client)
    claims: dict[str, Any] = {
        "aud": audience,
        "iss": _issuer(tenant),
        "tid": tenant,
        "oid": subject,
    }
    claims |= {"sub": subject, "appid": client or subject, "iat": now, "nbf": now - 300, "exp": now + seconds}
    if client and (member := _MEMBER.fullmatch(client)):
        claims["groups"] = _memberships(world.folder)[subject] = [member[1].lower()]
    if client and client.endswith(_CROWDED):
        # https://learn.microsoft.com/security/zero-trust/develop/configure-tokens-group-claims-app-roles#group-overages
        claims |= {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": f"https://graph/users/{subject}"}},
        }
    if client and (person := _PERSON.fullmatch(client)):
        claims |= {"name": person["name"], "roles": [person["role"]]}
    headers = {"kid": _key_id(world.folder)}
    return jwt.encode(claims, _signing_key(world.folder), algorithm="RS256", headers=headers), now + seconds


@cache
def _memberships(folder: Path) -> Table:
    """Object id -> groups: a client's membership is in its id, which nobody can read out of the object id."""
    return Store(folder / "identity.sqlite").table("memberships")


@cache
def _signing_key(folder: Path) -> RSAPrivateKey:
    path = folder / "identity.pem"
    if not path.exists():
        key = rsa.generate_private_key(65537, 2048)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    found = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(found, RSAPrivateKey)
    return found


@cache
def _key_id(folder: Path) -> str:
    shown = _signing_key(folder).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(shown).hexdigest()[:32]
