"""What the vault answers when it does not do what was asked:
`{"error": {"code", "message", "innererror": {"code"}}}`.

Codes and texts are those of answers of the live service, as recorded in the test sessions of Microsoft's SDKs
and in their issues.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

Json = dict[str, Any]

_HELP = (
    "If you recently deleted this secret you may be able to recover it using the correct recovery command. "
    "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
)


class VaultError(Exception):
    """An answer other than success. `inner` is the code of the inner error, which tells one conflict from
    another.
    """

    def __init__(self, status: int, code: str, message: str, inner: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error: Json = {"code": code, "message": message}
        if inner:
            self.error["innererror"] = {"code": inner}

    def response(self, headers: dict[str, str] | None = None) -> web.Response:
        return web.json_response({"error": self.error}, status=self.status, headers=headers)


def bad_property(name: str = "") -> VaultError:
    """The service names no limit: https://github.com/hashicorp/terraform-provider-azurerm/issues/16780"""
    return VaultError(400, "BadParameter", f"Property {name} has invalid value\r\n")


def not_found(name: str) -> VaultError:
    return VaultError(
        404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault. {_HELP}"
    )


def deleted_not_found(name: str) -> VaultError:
    return VaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")


def name_is_taken(name: str) -> VaultError:
    message = (
        f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; "
        "in this state, the secret can only be recovered or purged."
    )
    return VaultError(409, "Conflict", message, "ObjectIsDeletedButRecoverable")


def not_settled(phase: str, name: str | None = None) -> VaultError:
    """`phase` is "deleted" or "recovered"; with a name: the secret was to be set."""
    message = f"Secret is currently being {phase}."
    if name is not None:
        message = f"Secret {name} is currently being {phase} and cannot be re-created; retry later."
    return VaultError(409, "Conflict", message, f"ObjectIsBeing{phase.capitalize()}")


def purge_is_forbidden() -> VaultError:
    message = (
        'Operation "purge" is not allowed because purge protection is enabled for this vault. '
        "Key Vault service will automatically purge it after the retention period has passed."
    )
    return VaultError(403, "Forbidden", message)


def disabled() -> VaultError:
    return VaultError(
        403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled"
    )


def throttled() -> VaultError:
    """Without `Retry-After`: the service sends none
    (https://github.com/vcsjones/AzureSignTool/issues/219).
    """
    message = (
        "Request was not processed because too many requests were received. Reason: "
        "VaultRequestTypeLimitReached"
    )
    return VaultError(429, "Throttled", message)
