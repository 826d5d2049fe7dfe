"""What `host.json` promises to the app."""

from __future__ import annotations

import json
import re

from shared.stages.linking import PLACES
from standins.functions_host.options import read_options
from tests.conftest import ROOT


def test_a_lock_is_renewed_as_long_as_a_function_may_run() -> None:
    """Else a long sweep would lose its session to the next one, and two would run at once."""
    options = read_options(ROOT)
    assert options.max_lock_renewal >= options.function_timeout


def test_a_lock_outlives_many_messages_of_one_session() -> None:
    """The host renews a session's lock from when it accepted the session, not from each message: a busy
    session must not lose it while the last of many messages still runs.
    """
    options = read_options(ROOT)
    assert options.max_lock_renewal >= 5 * options.function_timeout


def test_new_teams_that_wait_for_their_links_leave_half_of_the_sessions_to_others() -> None:
    assert read_options(ROOT).max_sessions == 2 * PLACES


def test_the_host_alone_sends_telemetry_and_takes_no_sample_of_it() -> None:
    """A worker that says it sends telemetry itself has its log dropped by the host."""
    host, app = (ROOT / "host.json").read_text(), (ROOT / "infra" / "function_app.tf").read_text()
    assert json.loads(host)["telemetryMode"] == "OpenTelemetry"
    assert "applicationInsights" not in json.loads(host)["logging"], "a section that this mode does not read"
    settings = dict(re.findall(r'^ +(\w+) += "(.+)"$', app, re.MULTILINE))
    assert settings["OTEL_TRACES_SAMPLER"] == "microsoft.fixed_percentage"
    assert float(settings["OTEL_TRACES_SAMPLER_ARG"]) == 1
    worker = {"PYTHON_ENABLE_OPENTELEMETRY", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"}
    example = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
    assert not worker & (set(settings) | set(example))
    assert "opentelemetry" not in (ROOT / "requirements.lock").read_text()
