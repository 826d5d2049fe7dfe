"""Identifies callers by access tokens of Entra ID, verified with the tenant's public keys.

https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-tokens
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from shared.adapters.answers import instance, limited, require_origin, text
from shared.adapters.sharing import SingleFlight
from shared.adapters.translate import MISREAD, by_status, understood
from shared.errors import MergekeyError

if TYPE_CHECKING:
    import jwt

SYSTEM = "Entra ID"
#: Entra changes its keys every few weeks and shows new ones long before: a day is what its documentation
#: proposes for a cache.
KEYS_MAX_AGE = 24 * 3600.0
#: A token may name an unknown key; any client can send such tokens, so the keys are not fetched for each.
KEYS_MIN_INTERVAL = 60.0
#: After a failure the keys are not fetched for each token either: the failure is reported again.
FAILURE_MAX_AGE = 30.0
#: The claims that a token must have.
REQUIRED = ("exp", "nbf", "iss", "aud", "tid", "oid")
#: Seconds for an answer, and bytes of it: some ten keys have 20 KiB.
TIMEOUT, _MAX_ANSWER_BYTES = 5.0, 1024 * 1024

Role = Literal["Reader", "Operator"]
#: The app roles that are sufficient for each role: a higher role includes the lower one.
_SUFFICIENT: Mapping[Role, frozenset[str]] = {
    "Reader": frozenset({"Reader", "Operator"}),
    "Operator": frozenset({"Operator"}),
}


class Refused(Exception):
    """A caller is refused. `status` is 401 without a valid token, 403 without the role; the message holds
    nothing of the token.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `name` is for the log: the person's name, if the token has it, and the object
    id.

    `groups` are the object ids of the groups that the token names, None when there are too many for a token
    to name them.
    """

    name: str
    roles: frozenset[str]
    groups: frozenset[str] | None = frozenset()

    def may(self, role: Role) -> bool:
        """Whether the caller has the app role, or a higher one."""
        return bool(self.roles & _SUFFICIENT[role])


class EntraTokens:
    """Tokens of one tenant for one audience. Versions 1 and 2 are accepted: the version depends on the
    registration of the API.
    """

    def __init__(
        self, authority: str, tenant: str, audience: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._discovery = f"{authority.rstrip('/')}/{tenant}/v2.0/.well-known/openid-configuration"
        self._tenant = tenant.lower()
        # Tokens of version 2 have the client id alone.
        self._audiences = [audience, audience.removeprefix("api://")]
        self._issuers: list[str] = []
        self._keys: dict[str, jwt.PyJWK] = {}
        self._clock = clock
        self._fetched = float("-inf")
        self._failed: tuple[float, MergekeyError] | None = None
        self._fetching: SingleFlight[None] = SingleFlight()

    async def require(self, authorization: str | None, role: Role) -> Caller:
        """The caller, who has the app role (or a higher one). `authorization` is the header. Raises Refused,
        Unavailable, Throttled.
        """
        caller = await self.identify(authorization)
        if not caller.may(role):
            raise Refused(
                403,
                "RoleMissing",
                f"this needs the app role {role}; yours: {', '.join(sorted(caller.roles)) or 'none'}",
            )
        return caller

    async def identify(self, authorization: str | None) -> Caller:
        """The caller, whatever their roles. Raises as `require` does."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(
                401, "NoToken", "send an Entra access token for this API as the header Authorization: Bearer"
            )
        return _caller(await self._verified(token.strip()))

    async def _verified(self, token: str) -> Mapping[str, Any]:
        import jwt

        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid") or ""))
            ours: dict[str, Any] = {
                "audience": self._audiences,
                "issuer": self._issuers,
                "options": {"require": REQUIRED},
            }
            claims: Mapping[str, Any] = jwt.decode(token, key, algorithms=["RS256"], **ours)
        except jwt.PyJWTError as error:
            # The kind of the error only: its text may quote the token.
            raise Refused(
                401, "InvalidToken", f"the access token is not valid here: {type(error).__name__}"
            ) from None
        if str(claims["tid"]).lower() != self._tenant:
            raise Refused(401, "InvalidToken", "the access token is of another tenant")
        return claims

    async def _key(self, kid: str) -> jwt.PyJWK:
        """The signing key with this id. A known key is returned without waiting for a fetch."""
        import jwt

        age = self._clock() - self._fetched
        if age > KEYS_MAX_AGE or (kid not in self._keys and age > KEYS_MIN_INTERVAL):
            try:
                await self._fetching.share("keys", self._renew)
            except MergekeyError:
                # A known key is used while Entra cannot be reached.
                if kid not in self._keys:
                    raise
        if kid not in self._keys:
            raise jwt.InvalidKeyError("unknown key")
        return self._keys[kid]

    async def _renew(self) -> None:
        """Fetch the keys; soon after a failure raise that failure again."""
        if self._failed is not None and self._clock() - self._failed[0] <= FAILURE_MAX_AGE:
            raise self._failed[1].with_traceback(None)
        try:
            await self._fetch()
        except MergekeyError as error:
            self._failed = self._clock(), error
            raise

    async def _fetch(self) -> None:
        configuration = await _get(self._discovery)
        with understood(SYSTEM):
            issuer, address = text(configuration["issuer"]), text(configuration["jwks_uri"])
            require_origin(SYSTEM, address, self._discovery)
        answer = await _get(address)
        with understood(SYSTEM):
            keys = dict(_usable(instance(list, answer["keys"])))
            if not keys:
                raise ValueError("no signing key")
        self._issuers = [issuer, f"https://sts.windows.net/{self._tenant}/"]
        self._keys, self._fetched, self._failed = keys, self._clock(), None


def _usable(rows: list[Any]) -> Iterator[tuple[str, jwt.PyJWK]]:
    """The signing keys by id. A key that cannot be read is skipped."""
    import jwt

    for row in rows:
        try:
            key = jwt.PyJWK.from_dict(row)
            if key.key_type == "RSA":
                yield text(key.key_id), key
        except (jwt.PyJWTError, *MISREAD):
            continue


async def _get(url: str) -> dict[str, Any]:
    """The JSON object of the response. Redirections are not followed: Entra uses none here."""
    import aiohttp

    patience = aiohttp.ClientTimeout(total=TIMEOUT)
    with understood(SYSTEM):
        async with (
            aiohttp.ClientSession(timeout=patience) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise by_status(SYSTEM, answer.status)
            return instance(dict, json.loads(await limited(SYSTEM, answer.content, _MAX_ANSWER_BYTES)))


def _caller(claims: Mapping[str, Any]) -> Caller:
    """An application has no name of its own, only its id."""
    known = (
        claims.get(name) for name in ("name", "preferred_username", "upn", "app_displayname", "azp", "appid")
    )
    name = next((str(text) for text in known if text), "somebody")
    return Caller(f"{name[:100]} ({claims['oid']})", _texts(claims.get("roles")), _groups(claims))


def _groups(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """https://learn.microsoft.com/security/zero-trust/develop/configure-tokens-group-claims-app-roles#group-overages"""
    elsewhere = claims.get("_claim_names")
    if claims.get("hasgroups") or (isinstance(elsewhere, dict) and "groups" in elsewhere):
        return None
    return frozenset(group.lower() for group in _texts(claims.get("groups")))


def _texts(claim: object) -> frozenset[str]:
    return frozenset(map(str, claim)) if isinstance(claim, list) else frozenset()
