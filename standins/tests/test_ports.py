from __future__ import annotations

from standins import ports


def test_a_port_is_none_that_a_client_could_get() -> None:
    with ports.listen() as server:
        assert 15_000 <= ports.number(server) < 32_000


def test_a_port_is_the_same_at_the_next_start() -> None:
    with ports.listen() as first:
        port = ports.number(first)
    with ports.listen(port) as second:
        assert ports.number(second) == port


def test_a_port_that_is_taken_is_not_insisted_on() -> None:
    with ports.listen() as first:
        first.listen()
        with ports.listen(ports.number(first)) as second:
            assert ports.number(first) != ports.number(second)
