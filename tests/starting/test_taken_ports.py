from __future__ import annotations

import pytest

from pytest_llamakey.starting.taken_ports import advice


@pytest.mark.parametrize(
    "said",
    [
        "OSError: [Errno 98] Address already in use",
        "[ERROR] Connection in use: ('127.0.0.1', 8000)\nOSError: [Errno 48] error while attempting to bind",
        "Error: listen EADDRINUSE: address already in use :::3000",
    ],
)
def test_a_taken_port_gets_a_hint(said: str) -> None:
    assert "write {port}" in advice("process", said)
    assert "give each its own" in advice("docker", said)


def test_other_trouble_gets_none() -> None:
    assert advice("process", "OSError: [Errno 99] Cannot assign requested address") == ""
