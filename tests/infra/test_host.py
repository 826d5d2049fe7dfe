"""What `host.json` promises to the app."""

from __future__ import annotations

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
