"""Client certificates for tests, as files of PKCS #12."""

from __future__ import annotations

import base64

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509 import load_pem_x509_certificate

PASSWORD = "of a test"


def client_certificate(authority: trustme.CA, name: str) -> str:
    """The file in base64, as API Management takes it with `PASSWORD`."""
    issued = authority.issue_cert(common_name=name)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    found = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    content = serialize_key_and_certificates(
        name.encode(),
        key,  # type: ignore[arg-type]  # of the kinds that a server can have, trustme makes two
        found,
        None,
        BestAvailableEncryption(PASSWORD.encode()),
    )
    return base64.b64encode(content).decode()
