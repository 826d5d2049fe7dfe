"""Who calls: one GitHub App with its installation, and plain tokens.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from standins.github.answers import Json, Refused, not_found
from standins.store import Store

APP_ID, INSTALLATION_ID = 100001, 50000001
#: What the App was granted at installation; a token may ask for less.
PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read", "statuses": "write"}
_LEVELS = ("none", "read", "write", "admin")
_HOUR, _LONGEST_JWT, _SKEW = 3600, 600, 60


@dataclass(frozen=True)
class Caller:
    """A valid token. `permissions` is None for a plain token, which may do all that does not need an App."""

    permissions: Mapping[str, str] | None
    repositories: list[str] | None = None

    @property
    def is_app(self) -> bool:
        return self.permissions is not None

    def may(self, permission: str, level: str) -> bool:
        if self.permissions is None:
            return True
        return _LEVELS.index(self.permissions.get(permission, "none")) >= _LEVELS.index(level)


class Accounts:
    """The App and the tokens, kept in the store."""

    def __init__(self, store: Store) -> None:
        self._apps = store.table("apps")
        self._tokens = store.table("tokens")

    def app(self) -> Json:
        """`{app_id, private_key, installation_id}`; made when first asked for."""
        if "app" not in self._apps:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            formats = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
            self._apps["app"] = {
                "app_id": APP_ID,
                "private_key": key.private_bytes(*formats).decode(),
                "public_key": key.public_key()
                .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
                .decode(),
                "installation_id": INSTALLATION_ID,
            }
        return {name: self._apps["app"][name] for name in ("app_id", "private_key", "installation_id")}

    @property
    def installation(self) -> Json | None:
        """What a webhook payload says about the installation, if there is an App."""
        return {"id": INSTALLATION_ID, "node_id": f"I_{INSTALLATION_ID}"} if "app" in self._apps else None

    def plain_token(self) -> str:
        token = f"ghp_{_random(36)}"
        self._tokens[token] = {"permissions": None, "repositories": None, "expires": None}
        return token

    def installation_token(self, authorization: str, installation: str, wishes: Json) -> Json:
        """A token for one hour. `wishes` may narrow `permissions` and `repositories` (names). Raises `Refused`."""
        self._verify_app(authorization)
        if installation != str(INSTALLATION_ID):
            raise not_found()
        permissions = {**(wishes.get("permissions") or PERMISSIONS), "metadata": "read"}
        if not all(Caller(PERMISSIONS).may(name, level) for name, level in permissions.items()):
            raise Refused(422, "The permissions requested are not granted to this installation.")
        # Today's tokens have no fixed length: nobody may rely on 40 characters.
        token = f"ghs_{APP_ID}_{_random(40 + secrets.randbelow(161))}"
        expires = real_time() + _HOUR
        self._tokens[token] = {"permissions": permissions, "repositories": wishes.get("repositories"), "expires": expires}
        answer: Json = {"token": token, "expires_at": _utc(expires), "permissions": permissions}
        return answer | {"repository_selection": "selected" if wishes.get("repositories") else "all"}

    def caller(self, authorization: str) -> Caller:
        """Raises `Refused` (401) unless the header carries a token of ours that has not expired."""
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise Refused(401, "Requires authentication")
        known = self._tokens.get(token.strip()) if scheme.lower() in ("bearer", "token") else None
        if known is None or (known["expires"] is not None and known["expires"] < real_time()):
            raise Refused(401, "Bad credentials")
        return Caller(known["permissions"], known["repositories"])

    def _verify_app(self, authorization: str) -> None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or "app" not in self._apps:
            raise Refused(401, "A JSON web token could not be decoded")
        options: Any = {"require": ["iat", "exp", "iss"], "verify_iat": False, "verify_exp": False, "verify_iss": False}
        try:
            claims = jwt.decode(token, self._apps["app"]["public_key"], algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError as error:
            raise Refused(401, "A JSON web token could not be decoded") from error
        _check_claims(claims)


def real_time() -> float:
    """Seconds since 1970 by the machine's clock, not the world's.

    A client signs its JWTs, and judges `expires_at` and `x-ratelimit-reset`, by its own clock, which nobody can move: were tokens
    to follow the moved clock, every JWT would come from the past and every token would look valid to the client and expired here.
    """
    return time.time()


def _check_claims(claims: Json) -> None:
    now = real_time()
    if str(claims["iss"]) != str(APP_ID):
        raise Refused(404, "Integration not found")
    if not isinstance(claims["iat"], int) or claims["iat"] > now + _SKEW:
        raise Refused(401, "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued")
    if not isinstance(claims["exp"], int) or claims["exp"] <= now:
        raise Refused(
            401, "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
        )
    if claims["exp"] > now + _LONGEST_JWT:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
