"""What `host.json` promises to the app."""

from __future__ import annotations

from standins.functions_host.options import read_options
from tests.conftest import ROOT


def test_a_lock_is_renewed_as_long_as_a_function_may_run() -> None:
    """Else a long sweep would lose its session to the next one, and two would run at once."""
    options = read_options(ROOT)
    assert options.max_lock_renewal >= options.function_timeout
