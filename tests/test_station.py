"""The endpoint with its listener: what is told where it cannot listen."""

from __future__ import annotations

import socket

import pytest

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.station import Station


def test_an_address_that_this_machine_has_no_more_is_told() -> None:
    gone = (
        r"The mocked endpoint cannot listen on 203\.0\.113\.7 port \d+: .*\. This machine has no such address any more"
    )
    with Station(Secrets.fresh(), Authority(), ("127.0.0.1",)) as station, pytest.raises(RuntimeFault, match=gone):
        station.listen_also("203.0.113.7")
    with (
        pytest.raises(RuntimeFault, match=gone),
        Station(Secrets.fresh(), Authority(), ("127.0.0.1", "203.0.113.7")),
    ):
        pass


@pytest.mark.parametrize("taken", [0, 1], ids=["plain", "TLS"])
def test_a_further_address_whose_port_another_has_is_told_and_nothing_is_left_open(taken: int) -> None:
    with Station(Secrets.fresh(), Authority(), ("127.0.0.1",)) as station:
        with socket.create_server(("127.0.0.2", station.ports[taken])) as other:
            with pytest.raises(RuntimeFault, match=rf"127\.0\.0\.2 port {station.ports[taken]}: .*in use\.$"):
                station.listen_also("127.0.0.2")
            assert other.fileno() > 0
        station.listen_also("127.0.0.2")
        for port in station.ports:
            socket.create_connection(("127.0.0.2", port), 5).close()
