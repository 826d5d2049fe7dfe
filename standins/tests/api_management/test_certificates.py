"""Client certificates for backends, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

from typing import Any

import pytest
import trustme
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import (
    BackendContract,
    BackendCredentialsContract,
    CertificateCreateOrUpdateParameters,
)

from standins.tests.api_management.builders import INSTANCE, WHERE, Client, a_backend, problem, unique
from standins.tests.certificates import PASSWORD, client_certificate


def a_certificate(**changed: Any) -> CertificateCreateOrUpdateParameters:
    usual = {"data": client_certificate(trustme.CA(), "gateway"), "password": PASSWORD}
    return CertificateCreateOrUpdateParameters(**{**usual, **changed})


def showing(name: str) -> BackendContract:
    ids = [f"{INSTANCE}/certificates/{name}"]
    return a_backend(credentials=BackendCredentialsContract(certificate_ids=ids))


async def test_a_certificate_is_read_without_its_key(client: Client) -> None:
    name = unique("cert")
    made = await client.certificate.create_or_update(*WHERE, name, a_certificate())
    read = await client.certificate.get(*WHERE, name)
    assert (read.subject, read.thumbprint) == (made.subject, made.thumbprint)
    assert "CN=gateway" in read.subject
    sent = await client.certificate.get(*WHERE, name, cls=lambda answer, *_: answer.http_response.json())
    assert set(sent["properties"]) == {"subject", "thumbprint", "expirationDate"}
    assert name in [row.name async for row in client.certificate.list_by_service(*WHERE)]


@pytest.mark.parametrize("changed", [{"data": "bm90aGluZw=="}, {"password": "another"}])
async def test_what_is_no_certificate_is_refused(client: Client, changed: dict[str, str]) -> None:
    name = unique("cert")
    with pytest.raises(HttpResponseError) as refused:
        await client.certificate.create_or_update(*WHERE, name, a_certificate(**changed))
    assert problem(refused.value)[:2] == ("ValidationError", "data")
    with pytest.raises(ResourceNotFoundError):
        await client.certificate.get(*WHERE, name)


async def test_a_backend_shows_a_certificate_that_is_there_only(client: Client) -> None:
    name = unique("cert")
    with pytest.raises(HttpResponseError) as refused:
        await client.backend.create_or_update(*WHERE, name, showing(name))
    assert problem(refused.value)[:2] == ("ValidationError", "credentials.certificateIds")
    await client.certificate.create_or_update(*WHERE, name, a_certificate())
    made = await client.backend.create_or_update(*WHERE, name, showing(name))
    assert made.credentials.certificate_ids == [f"{INSTANCE}/certificates/{name}"]
