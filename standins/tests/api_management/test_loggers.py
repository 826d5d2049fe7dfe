"""Loggers and diagnostics, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import DiagnosticContract, LoggerContract

from standins.tests.api_management.builders import INSTANCE, WHERE, Client, problem, unique
from standins.tests.azure_clients import with_etag


def a_logger() -> LoggerContract:
    return LoggerContract(
        logger_type="applicationInsights",
        credentials={"instrumentationKey": "11111111-2222-4333-8444-555555555555"},
    )


async def test_a_loggers_credentials_become_a_secret_named_value(client: Client) -> None:
    name = unique("log")
    made = await client.logger.create_or_update(*WHERE, name, a_logger())
    assert (made.logger_type, made.is_buffered) == ("applicationInsights", True)
    reference = made.credentials["instrumentationKey"]
    found = client.named_value.list_by_service(*WHERE, filter=f"displayName eq '{reference.strip('{}')}'")
    [value] = [row async for row in found]
    assert (value.secret, value.value) == (True, None)
    assert (
        await client.named_value.list_value(*WHERE, value.name)
    ).value == "11111111-2222-4333-8444-555555555555"
    await client.logger.delete(*WHERE, name, "*")
    with pytest.raises(ResourceNotFoundError):
        await client.logger.get(*WHERE, name)


async def test_the_service_and_an_api_have_diagnostics_that_send_to_a_logger(
    client: Client, api: str
) -> None:
    name = unique("log")
    await client.logger.create_or_update(*WHERE, name, a_logger())
    logger = f"{INSTANCE}/loggers/{name}"
    contract = DiagnosticContract(logger_id=logger, metrics=True)
    for operations, where in ((client.diagnostic, WHERE), (client.api_diagnostic, (*WHERE, api))):
        made, etag = await operations.create_or_update(*where, "applicationinsights", contract, cls=with_etag)
        assert (made.logger_id, made.metrics, made.http_correlation_protocol) == (logger, True, "Legacy")
        assert [row.name async for row in operations.list_by_service(*where)] == ["applicationinsights"]
        with pytest.raises(HttpResponseError, match="is used"):
            await client.logger.delete(*WHERE, name, "*")
        await operations.delete(*where, "applicationinsights", etag)
    await client.logger.delete(*WHERE, name, "*")


async def test_a_diagnostic_needs_a_logger_that_exists_and_a_name_that_is_known(client: Client) -> None:
    missing = DiagnosticContract(logger_id=f"{INSTANCE}/loggers/{unique('absent')}")
    with pytest.raises(HttpResponseError) as refused:
        await client.diagnostic.create_or_update(*WHERE, "applicationinsights", missing)
    assert problem(refused.value)[1] == "loggerId"
    name = unique("log")
    await client.logger.create_or_update(*WHERE, name, a_logger())
    with pytest.raises(HttpResponseError) as refused:
        await client.diagnostic.create_or_update(
            *WHERE, "mine", DiagnosticContract(logger_id=f"{INSTANCE}/loggers/{name}")
        )
    assert problem(refused.value)[1] == "diagnosticId"
