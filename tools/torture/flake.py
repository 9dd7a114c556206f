"""No flakes: samples run again and again on a machine whose processors are all busy; the same verdict each time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from tools.torture.apps import DOCKERFILE, server, table
from tools.torture.cases import Case, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.torture.bench import Bench

WRONG = 'def asked():\n    return call("sk-" + "7f3K9" * 8, BASE)'


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Two endless loops for each processor."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _again(place: Bench, *, runtime: str, setup: str, wanted: tuple[str, list[str]]) -> Tally:
    count = int(os.environ.get("LLAMAKEY_TORTURE_RUNS", "20"))
    place.write({"server.py": server(setup), "llamakey.toml": table(workers=4), "Dockerfile": DOCKERFILE})
    with busy():
        seen = [(ran.verdicts[0], ran.causes) for ran in (place.run(runtime) for _ in range(count))]
    others = [one for one in seen if one != wanted]
    return Tally(count, count - len(others), f"{others[:3]}" if others else f"{wanted[0]} each time")


CASES = tuple(
    Case(f"{told}: {what}", partial(_again, runtime=runtime, setup=setup, wanted=wanted), engine=runtime == "docker")
    for told, runtime in (("processes", "process"), ("containers", "docker"))
    for what, setup, wanted in (
        ("four workers, all well", "", ("pass", [])),
        ("four workers, a key in the code", WRONG, ("fail", ["hardcoded-key"])),
    )
)
