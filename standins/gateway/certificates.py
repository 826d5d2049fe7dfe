"""The client certificates by which the gateway says to a backend who it is, in TLS."""

from __future__ import annotations

import base64
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from standins.gateway.exchange import Json


class Certificates:
    """The TLS contexts of a gateway, one for each certificate as it was last written; `folder` has the
    authority of the set's own servers.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = folder / "ca.pem"
        self._kept: dict[str, tuple[str, ssl.SSLContext]] = {}

    def context(self, row: Json | None) -> ssl.SSLContext | bool:
        """For a backend that is shown this certificate; True, the usual checks, for one without."""
        if row is None:
            return True
        kept = self._kept.get(row["id"])
        if kept is None or kept[0] != row["etag"]:
            kept = self._kept[row["id"]] = (row["etag"], self._made(row["hidden"]))
        return kept[1]

    def _made(self, hidden: Json) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._authority.exists():
            context.load_verify_locations(self._authority)
        password = (hidden["password"] or "").encode() or None
        key, found, _ = load_key_and_certificates(base64.b64decode(hidden["data"]), password)
        assert key is not None, "Resource Manager checked it"
        assert found is not None, "Resource Manager checked it"
        encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        # Python's TLS reads keys from files only.
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem + found.public_bytes(Encoding.PEM))
            file.flush()
            context.load_cert_chain(file.name, password=password)
        return context
