"""What the engine has made for one deployment, without an engine."""

from __future__ import annotations

from typing import Any

from pytest_llamakey.runtimes.docker_belongings import Belongings


class Told:
    """A reaper that is told of nothing but names."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_the_commands_that_remove_what_is_kept_name_it_whole() -> None:
    client: Any = None
    reaper: Any = Told()
    belongings = Belongings(client, reaper)
    belongings.network("llamakey-secluded-1a2b3c4d")  # as it is with egress = "deny"
    belongings.volume("llamakey-volume-1a2b")
    belongings.image(f"sha256:{'ab' * 32}")
    commands = belongings.leave(()).split(" && ")
    assert commands[1:] == [
        "docker network rm llamakey-secluded-1a2b3c4d",
        "docker volume rm llamakey-volume-1a2b",
        "docker image rm --no-prune abababababab",
    ]
