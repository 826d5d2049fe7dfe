"""Who calls: one GitHub App with its installations, and people's plain tokens.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from standins.clock import Clock
from standins.github.answers import Json, Refused, not_found
from standins.store import Store

APP_ID, CLIENT_ID, INSTALLATION_ID = 100001, "Iv23liMergekeyStandIn", 50000001
#: Whose the App is, and where it is installed unless told otherwise.
OWNER = "contoso"
#: What the App asks for, and what it gets at installation unless told otherwise; a token may ask for less.
PERMISSIONS = {"checks": "write", "contents": "read", "metadata": "read", "statuses": "write"}
_LEVELS = ("none", "read", "write", "admin")
_LIFETIME, _LONGEST_JWT, _SKEW = 3600, 600, 60


@dataclass(frozen=True)
class Caller:
    """A valid token. `name` is whose limits it uses; `installation` is None for a person's token, which may
    do all but what needs an App.

    `permissions` and `repositories` are what the token was narrowed to; None: nothing of that.
    """

    name: str
    installation: Json | None = None
    permissions: Mapping[str, str] | None = None
    repositories: Sequence[str] | None = None

    @property
    def is_app(self) -> bool:
        return self.installation is not None

    def may(self, permission: str, level: str) -> bool:
        if self.installation is None:
            return True
        granted = (self.installation["permissions"], self.permissions)
        return all(levels is None or includes(levels, permission, level) for levels in granted)

    def sees(self, owner: str, name: str) -> bool:
        if self.installation is None:
            return True
        allowed = (self.installation["repositories"], self.repositories)
        return same(owner, self.installation["account"]) and all(
            names is None or any(same(name, each) for each in names) for names in allowed
        )


def includes(levels: Mapping[str, str], permission: str, level: str) -> bool:
    """Whether the permissions give this one at this level."""
    return _LEVELS.index(levels.get(permission, "none")) >= _LEVELS.index(level)


def same(one: str, other: str) -> bool:
    """Names of accounts and repositories are the same in any case."""
    return one.lower() == other.lower()


class Accounts:
    """The App, its installations and the tokens, kept in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._apps = store.table("app")
        self._installations = store.table("installations")
        self._tokens = store.table("access_tokens")

    @property
    def app(self) -> Json:
        """The App, made when first asked for: its keys, `created`, `webhook_url`, `webhook_secret`."""
        if "app" not in self._apps:
            self._apps["app"] = {
                **_key_pair(),
                "created": self._clock.now(),
                "webhook_url": None,
                "webhook_secret": None,
            }
        return dict(self._apps["app"])

    def change_app(self, wishes: Mapping[str, Any]) -> None:
        self._apps["app"] = {**self.app, **wishes}

    def install(self, wishes: Mapping[str, Any]) -> Json:
        """Install the App on an `account`, or change what its owner allowed (`permissions`, `repositories`:
        names or None for all).

        An installation keeps its id until it is deleted.
        """
        account = wishes.get("account", OWNER)
        row = self.installation_on(account) or {
            "id": INSTALLATION_ID + len(self._installations),
            "account": account,
            "permissions": PERMISSIONS,
            "repositories": None,
            "created": self._clock.now(),
            "suspended": None,
            "deleted": False,
        }
        self.keep(
            {**row, **{name: wishes[name] for name in ("permissions", "repositories") if name in wishes}}
        )
        return self.installation(str(row["id"]))

    def installations(self) -> list[Json]:
        return [row for row in self._installations.values() if not row["deleted"]]

    def installation(self, number: str) -> Json:
        """Raises `Refused` (404)."""
        row: Json | None = self._installations.get(number)
        if row is None or row["deleted"]:
            raise not_found()
        return row

    def installation_on(self, account: str) -> Json | None:
        return next((row for row in self.installations() if same(row["account"], account)), None)

    def keep(self, installation: Json) -> None:
        self._installations[str(installation["id"])] = installation

    def plain_token(self, login: str) -> str:
        token = f"ghp_{_random(36)}"
        self._tokens[token] = {"login": login, "installation": None, "expires": None}
        return token

    def installation_token(
        self, installation: Json, permissions: Mapping[str, str] | None, repositories: Sequence[str] | None
    ) -> Json:
        """A token for one hour: `{token, expires}`. The other arguments narrow it."""
        # Today's tokens have no fixed length: nobody may rely on 40 characters.
        token = f"ghs_{APP_ID}_{_random(40 + secrets.randbelow(161))}"
        row = {"installation": installation["id"], "permissions": permissions, "repositories": repositories}
        self._tokens[token] = row | {"expires": self._clock.now() + _LIFETIME}
        return {"token": token, "expires": self._tokens[token]["expires"]}

    def revoke(self, authorization: str) -> None:
        self._tokens.pop(authorization.partition(" ")[2].strip(), None)

    def caller(self, authorization: str) -> Caller:
        """Raises `Refused` unless the header carries a token of ours that has not expired, of an installation
        that is in force.
        """
        scheme, _, token = authorization.partition(" ")
        if not authorization:
            raise Refused(401, "Requires authentication")
        known = self._tokens.get(token.strip()) if scheme.lower() in ("bearer", "token") else None
        if known is None or (known["expires"] is not None and known["expires"] <= self._clock.now()):
            raise Refused(401, "Bad credentials")
        if known["installation"] is None:
            return Caller(f"user {known['login']}")
        return self._installed(known)

    def _installed(self, token: Json) -> Caller:
        installation = self._installations[str(token["installation"])]
        if installation["deleted"]:
            raise Refused(401, "Bad credentials")
        refuse_suspended(installation)
        return Caller(
            f"installation ID {installation['id']}", installation, token["permissions"], token["repositories"]
        )

    def verify_app(self, authorization: str) -> None:
        """Raises `Refused` unless the header carries a JWT that the App signed for the next ten minutes at
        most.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or "app" not in self._apps:
            raise Refused(401, "A JSON web token could not be decoded")
        options: Any = {
            "require": ["iat", "exp", "iss"],
            "verify_iat": False,
            "verify_exp": False,
            "verify_iss": False,
        }
        try:
            claims = jwt.decode(token, self._apps["app"]["public_key"], algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError as error:
            raise Refused(401, "A JSON web token could not be decoded") from error
        _check_claims(claims)


def refuse_suspended(installation: Json) -> None:
    if installation["suspended"] is not None:
        raise Refused(403, "This installation has been suspended")


def _check_claims(claims: Json) -> None:
    # A client signs by its own clock, which nobody can move: the machine's time counts here, not the world's.
    now = time.time()
    if str(claims["iss"]) not in (str(APP_ID), CLIENT_ID):
        raise Refused(404, "Integration not found")
    if not isinstance(claims["iat"], int) or claims["iat"] > now + _SKEW:
        raise Refused(
            401,
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was "
            "issued",
        )
    if not isinstance(claims["exp"], int) or claims["exp"] <= now:
        raise Refused(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which "
            "the assertion expires",
        )
    if claims["exp"] > now + _LONGEST_JWT:
        raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")


def _key_pair() -> Json:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {"private_key": private.decode(), "public_key": public.decode()}


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
