"""No flakes: samples run again and again on a machine whose processors are all busy; the same verdict each time."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

from tools.samples import wrong
from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.bench import ROOT
from tools.torture.cases import RUNTIMES, Case, Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.torture.bench import Bench

WRONG = 'def asked():\n    return call("sk-" + "7f3K9" * 8, BASE)'


@contextlib.contextmanager
def busy() -> Iterator[str]:
    """Twice as much to compute as there are processors, by what it yields: stress-ng where it is here, else loops."""
    count = 2 * (os.cpu_count() or 1)
    if stress := shutil.which("stress-ng"):
        loads = [subprocess.Popen([stress, "--quiet", "--cpu", str(count)])]
    else:
        loads = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield "stress-ng" if stress else "endless loops"
    finally:
        for load in loads:
            load.terminate()
            load.wait()


def runs() -> int:
    """How often each sample is run, outside of the short case."""
    return int(os.environ.get("LLAMAKEY_TORTURE_RUNS", "20"))


def rounds() -> Iterator[int]:
    """The numbers of the runs; none begins once the time is over that a case may take."""
    until = time.monotonic() + 60 * float(os.environ.get("LLAMAKEY_TORTURE_MINUTES", "inf"))
    for number in range(runs()):
        if time.monotonic() > until:
            return
        yield number


def _again(place: Bench, *, runtime: str, setup: str, wanted: tuple[str, list[str]], count: int = 0) -> Tally:
    place.write({"server.py": server(setup), "llamakey.toml": table(workers=4), "Dockerfile": DOCKERFILE})
    with busy() as load:
        turns = range(count) if count else rounds()
        seen = [(ran.verdicts[0], ran.causes) for ran in (place.run(runtime) for _ in turns)]
    others = [one for one in seen if one != wanted]
    return tally(len(seen), [str(one) for one in others], f"{wanted[0]} each time", load)


def tally(count: int, others: list[str], well: str, load: str) -> Tally:
    """What came of ``count`` runs under ``load``: ``others`` are those that were not as they are to be."""
    return Tally(count, count - len(others), f"{'; '.join(others[:3]) or well}, beside {load}")


def _gunicorn(place: Bench, *, runtime: str) -> Tally:
    """The sample `gunicorn` with eight workers: all of them seen, each with one call and the exact header."""
    shutil.copytree(ROOT / "sample_images/gunicorn", place.folder, dirs_exist_ok=True)
    written = (place.folder / "llamakey.toml").read_text()
    place.write({"llamakey.toml": written.replace("workers = 4", "workers = 8").replace('"4"', '"8"')})
    count, others = 0, []
    with busy() as load:
        for _ in rounds():
            count += 1
            (report,) = place.run(runtime).report["deployments"]
            workers = [one for replica in report["replicas"] for one in replica["workers"] if one["role"] == "worker"]
            calls = [[call["credential"] for call in one["calls"] if call["via"] == "request"] for one in workers]
            if (report["outcome"], report["seen_workers"], calls) != ("passed", 8, [["match"]] * 8):
                others.append(str((report["outcome"], report["seen_workers"], calls)))
    return tally(count, others, "8 of 8 workers, one call each, each time", load)


def _samples(place: Bench, *, runtime: str) -> Tally:
    """As many runs as were asked for, of the samples in turn, each held against what it is to show."""
    samples = sorted(path.parent for path in (ROOT / "sample_images").glob("*/llamakey.toml"))
    count, others = 0, []
    with busy() as load:
        for _, sample in zip(rounds(), cycle(samples), strict=False):
            count += 1
            laid = place.folder / sample.name
            shutil.copytree(sample, laid)
            reported = place.run(runtime).report.get("deployments", [])
            told = [odd for one in reported for odd in wrong(one)] if reported else ["nothing was run"]
            others += [f"{sample.name}: {told}"] if told else []
            shutil.rmtree(laid)
    return tally(count, others, "each as it is to be, every worker exact", load)


SAMPLES = tuple(
    Case(f"{told}: the samples in turn", partial(_samples, runtime=runtime), engine=runtime == "docker")
    for told, runtime in RUNTIMES
)
GUNICORN = tuple(
    Case(f"{told}: the sample gunicorn, eight workers", partial(_gunicorn, runtime=runtime), engine=runtime == "docker")
    for told, runtime in RUNTIMES
)
SHORT = (
    Case(
        "processes: four workers, all well (short)",
        partial(_again, runtime="process", setup="", wanted=("pass", []), count=2),
        short=True,
    ),
)
CASES = (
    SHORT
    + SAMPLES
    + GUNICORN
    + tuple(
        Case(
            f"{told}: {what}", partial(_again, runtime=runtime, setup=setup, wanted=wanted), engine=runtime == "docker"
        )
        for told, runtime in RUNTIMES
        for what, setup, wanted in (
            ("four workers, all well", "", ("pass", [])),
            ("four workers, a key in the code", WRONG, ("fail", ["hardcoded-key"])),
        )
    )
)
