"""The secrets of the vault: names without regard to case, versions in order, soft-deleted or not."""

from __future__ import annotations

import re
import uuid
from typing import Any

from aiohttp import web

from standins.world import World

Json = dict[str, Any]

_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_DAYS_KEPT = 90


class VaultError(Exception):
    """An answer other than success: `{"error": {"code", "message", "innererror": {"code"}}}`."""

    def __init__(self, status: int, code: str, message: str, inner: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error: Json = {"code": code, "message": message}
        if inner:
            self.error["innererror"] = {"code": inner}

    def response(self, headers: dict[str, str] | None = None) -> web.Response:
        return web.json_response({"error": self.error}, status=self.status, headers=headers)


class Vault:
    """The kept secrets. A row is `{name, versions, deleted}`.

    `versions` is a list, oldest first, of `{version, value, contentType, tags, attributes}`; `deleted` is None, or the two dates of a
    soft-deleted secret in seconds since 1970: `{deletedDate, scheduledPurgeDate}`.
    """

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._secrets = world.store("key-vault").table("secrets")

    def now(self) -> int:
        return int(self._clock.now())

    def names(self) -> list[Json]:
        """The secrets that are not deleted."""
        return [row for row in self._secrets.values() if row["deleted"] is None]

    def secret(self, name: str) -> Json:
        """A secret that is not deleted. Raises 404."""
        row: Json | None = self._secrets.get(name.lower())
        if row is None or row["deleted"] is not None:
            raise VaultError(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return row

    def deleted(self, name: str) -> Json | None:
        """A soft-deleted secret whose time to be purged has not come."""
        row: Json | None = self._secrets.get(name.lower())
        if row is None or row["deleted"] is None or row["deleted"]["scheduledPurgeDate"] <= self.now():
            return None
        return row

    def version(self, name: str, version: str) -> Json:
        """One version; the latest when `version` is empty. Raises 404."""
        versions: list[Json] = self.secret(name)["versions"]
        found = [entry for entry in versions if version in ("", entry["version"])]
        if not found:
            raise VaultError(404, "SecretNotFound", f"A secret with (name/id) {name}/{version} was not found in this key vault.")
        return found[-1]

    def add_version(self, name: str, entry: Json) -> Json:
        """Append a version and make it the current one. `entry` has value, contentType, tags, attributes. Raises 400 and 409."""
        if not _NAME.fullmatch(name):
            raise VaultError(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        if self.deleted(name) is not None:
            message = f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused"
            raise VaultError(409, "Conflict", message, "ObjectIsDeletedButRecoverable")
        row: Json = self._secrets.get(name.lower(), {"name": name, "versions": [], "deleted": None})
        versions = row["versions"] if row["deleted"] is None else []
        # The dates are whole seconds; two versions within one second still get dates in their order, so that clients can tell the newest.
        created = max([self.now(), *(old["attributes"]["created"] + 1 for old in versions)])
        dates = {"created": created, "updated": created, "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": _DAYS_KEPT}
        entry = entry | {"version": uuid.uuid4().hex, "attributes": entry["attributes"] | dates}
        self._secrets[name.lower()] = {"name": row["name"], "versions": [*versions, entry], "deleted": None}
        return entry

    def replace_version(self, name: str, entry: Json) -> None:
        """Write a changed version back."""
        row = self.secret(name)
        versions = [entry if old["version"] == entry["version"] else old for old in row["versions"]]
        self._secrets[name.lower()] = row | {"versions": versions}

    def delete(self, name: str) -> Json:
        """Soft-delete. Raises 404."""
        dates = {"deletedDate": self.now(), "scheduledPurgeDate": self.now() + _DAYS_KEPT * 86400}
        row = self.secret(name) | {"deleted": dates}
        self._secrets[name.lower()] = row
        return row

    def recover(self, row: Json) -> None:
        self._secrets[row["name"].lower()] = row | {"deleted": None}

    def purge(self, row: Json) -> None:
        del self._secrets[row["name"].lower()]
