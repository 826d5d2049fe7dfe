"""The secrets of the vault: names without regard to case, versions in order, soft deletion, which takes its
time.

https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from standins.key_vault.errors import (
    Json,
    VaultError,
    deleted_not_found,
    disabled,
    name_is_taken,
    not_found,
    not_settled,
    purge_is_forbidden,
)
from standins.world import Options, World

#: How the server behaves; `Control.set_options("key-vault", name=value)` changes it.
OPTIONS: dict[str, Any] = {
    # Seconds on the clock that a deletion (and a purge) and a recovery need. The live service was recorded
    # with 71 and more than 40.
    "deletion_seconds": 0.0,
    "recovery_seconds": 0.0,
    # A soft-deleted secret then stays for its retention, whoever asks; infra/key_vault.tf turns it on.
    "purge_protection": True,
    # The live service has dates of whole seconds and lists versions by their ids: of two versions made within
    # one second nobody who sees metadata only can tell the newer. True gives each version of a secret a
    # second of its own.
    "distinct_dates": True,
    # 429 beyond so many transactions, and creations of secrets among them, in `window_seconds` on the clock.
    "throttle": True,
    "transactions": 4000,
    "creations": 300,
    "window_seconds": 10.0,
    # The vault's id, where a role counts only for the right one; empty: this server is the vault of every id.
    "vault_id": "",
    # Client ids of those who are secrets officers from the beginning.
    "officers": ["vault-officer"],
}

Phase = Literal["absent", "live", "being deleted", "deleted", "being recovered"]

_DAYS_KEPT = 90


@dataclass(frozen=True)
class Reading:
    """What another service that holds the role gets of a secret: its value, or the code and the message of
    the refusal.
    """

    value: str | None
    code: str = "Success"
    message: str = ""


class Vault:
    """The kept secrets. A row is `{name, versions, deleted, settled}`.

    `versions` is a list, oldest first, of `{version, value, contentType, tags, attributes}`; `deleted` is
    None, or the two dates of a soft-deleted secret in seconds since 1970:
    `{deletedDate, scheduledPurgeDate}`; `settled` is when its last deletion, purge or recovery is done. A
    secret that is being purged has no versions any more.
    """

    def __init__(self, world: World, options: Options) -> None:
        self._clock = world.clock
        self._options = options
        self._secrets = world.store("key-vault").table("secrets")

    def now(self) -> int:
        return int(self._clock.now())

    def live(self) -> list[Json]:
        """The secrets that are there, by name."""
        return self._in_phase("live")

    def soft_deleted(self) -> list[Json]:
        return self._in_phase("deleted")

    def secret(self, name: str) -> Json:
        """A secret that is there. Raises 404: while it is being deleted or recovered too."""
        if self._phase(name) != "live":
            raise not_found(name)
        return self._row(name)

    def versions(self, name: str) -> list[Json]:
        """By their ids, as the service lists them; none when there is no such secret, which is no error
        there.
        """
        found = self._row(name)["versions"] if self._phase(name) == "live" else []
        return sorted(found, key=lambda entry: str(entry["version"]))

    def deleted(self, name: str) -> Json:
        """A soft-deleted secret. Raises 404: also until the deletion is done."""
        if self._phase(name) != "deleted":
            raise deleted_not_found(name)
        return self._row(name)

    def version(self, name: str, version: str) -> Json:
        """One version; the latest when `version` is empty. Raises 404."""
        versions: list[Json] = self.secret(name)["versions"]
        found = [entry for entry in versions if version in ("", entry["version"])]
        if not found:
            raise not_found(f"{name}/{version}")
        return found[-1]

    def readable(self, name: str, version: str) -> Json:
        """The version that a reader gets, the latest when `version` is empty. Raises 404, and 403 for one
        that is disabled. Outside its nbf and exp too: these inform, and forbid nothing.
        """
        found = self.version(name, version)
        if not found["attributes"]["enabled"]:
            raise disabled()
        return found

    def read(self, url: str) -> Reading:
        """Of a secret's address, with its version or without; this vault is the vault of every host."""
        name, _, version = urlsplit(url).path.removeprefix("/secrets/").strip("/").partition("/")
        try:
            return Reading(str(self.readable(name, version)["value"]))
        except VaultError as error:
            return Reading(None, error.error.get("innererror", error.error)["code"], error.error["message"])

    def add_version(self, name: str, entry: Json) -> Json:
        """Append a version and make it the current one. `entry` has value, contentType, tags, attributes.
        Raises 409.
        """
        phase = self._phase(name)
        if phase == "deleted":
            raise name_is_taken(name)
        if phase not in ("live", "absent"):
            raise not_settled(phase.removeprefix("being "), name)
        row: Json = (
            self._row(name)
            if phase == "live"
            else {"name": name, "versions": [], "deleted": None, "settled": 0}
        )
        created = self._created(row["versions"])
        dates = {
            "created": created,
            "updated": created,
            "recoveryLevel": self._recovery_level(),
            "recoverableDays": _DAYS_KEPT,
        }
        entry = entry | {"version": uuid.uuid4().hex, "attributes": entry["attributes"] | dates}
        self._keep(row | {"versions": [*row["versions"], entry]})
        return entry

    def replace_version(self, name: str, entry: Json) -> None:
        """Write a changed version back."""
        row = self.secret(name)
        self._keep(
            row
            | {"versions": [entry if old["version"] == entry["version"] else old for old in row["versions"]]}
        )

    def delete(self, name: str) -> Json:
        """Soft-delete. Raises 404, and 409 while it is being deleted or recovered."""
        self._require_settled(name)
        dates = {"deletedDate": self.now(), "scheduledPurgeDate": self.now() + _DAYS_KEPT * 86400}
        row = self.secret(name) | {"deleted": dates, "settled": self._after("deletion_seconds")}
        self._keep(row)
        return row

    def recover(self, name: str) -> Json:
        """Raises 404 and 409 as `delete`."""
        self._require_settled(name)
        row = self.deleted(name) | {"deleted": None, "settled": self._after("recovery_seconds")}
        self._keep(row)
        return row

    def purge(self, name: str) -> None:
        """Raises 404 and 409 as `delete`, and 403 where purge protection is on."""
        self._require_settled(name)
        row = self.deleted(name)
        if self._options["purge_protection"]:
            raise purge_is_forbidden()
        self._keep(row | {"versions": [], "settled": self._after("deletion_seconds")})

    def _phase(self, name: str) -> Phase:
        row: Json | None = self._secrets.get(name.lower())
        if row is None:
            return "absent"
        settled = row.get("settled", 0) <= self._clock.now()
        if row["deleted"] is None:
            return "live" if settled else "being recovered"
        if not settled:
            return "being deleted"
        return (
            "deleted" if row["versions"] and row["deleted"]["scheduledPurgeDate"] > self.now() else "absent"
        )

    def _in_phase(self, phase: Phase) -> list[Json]:
        return [self._secrets[name] for name in sorted(self._secrets) if self._phase(name) == phase]

    def _require_settled(self, name: str) -> None:
        if (phase := self._phase(name)) in ("being deleted", "being recovered"):
            raise not_settled(phase.removeprefix("being "))

    def _row(self, name: str) -> Json:
        row: Json = self._secrets[name.lower()]
        return row

    def _keep(self, row: Json) -> None:
        self._secrets[row["name"].lower()] = row

    def _after(self, option: str) -> float:
        return float(self._clock.now() + self._options[option])

    def _created(self, versions: list[Json]) -> int:
        """Of a new version, in whole seconds."""
        if not (versions and self._options["distinct_dates"]):
            return self.now()
        return max(self.now(), 1 + max(int(old["attributes"]["created"]) for old in versions))

    def _recovery_level(self) -> str:
        return "Recoverable" if self._options["purge_protection"] else "Recoverable+Purgeable"
