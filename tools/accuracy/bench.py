"""Runs cases through the library, in the process runtime, several at a time."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import shutil
import tempfile
import time
import traceback
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from pytest_llamakey import facts as recorded
from pytest_llamakey.options import Options
from pytest_llamakey.run import run
from pytest_llamakey.spec.model import DEFAULT_CHECKS, Defaults
from pytest_llamakey.spec.toml import read_deployments
from pytest_llamakey.workshop import Workshop
from tools.accuracy.cases import case
from tools.accuracy.layout import CONFIG, START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import Queue

    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.report.model import DeploymentReport
    from tools.accuracy.cases import Case
    from tools.accuracy.choices import Able

BOOT = 60.0
"""Seconds an app may take to become ready."""
PATIENCE = 300.0
"""Seconds within which one case at least must have ended."""


@dataclass(frozen=True)
class Named:
    """One finding: its cause, ``file:line`` places, the workers among its processes, and its evidence."""

    cause: str
    where: tuple[str, ...]
    workers: tuple[int, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Ran:
    """What came of one case. ``workers`` are the pids of all of the app's workers, ``cpu`` is in seconds."""

    number: int
    found: tuple[Named, ...]
    verdict: str
    error: str
    workers: tuple[int, ...]
    seconds: float
    cpu: float
    facts: str


def write(made: Case, folder: Path) -> None:
    """Write the app's files into ``folder``."""
    for path, text in made.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        if path == START:
            place.chmod(0o755)


def run_all(seed: int, numbers: list[int], able: Able, processes: int) -> Iterator[Ran]:
    """Run the cases ``numbers`` and yield each result as it comes.

    Raises:
        TimeoutError: none of the running cases ended in time.
    """
    context = multiprocessing.get_context("spawn")
    todo: Queue[int | None] = context.Queue()
    done: Queue[dict[str, Any]] = context.Queue()
    for number in [*numbers, *[None] * processes]:
        todo.put(number)
    benches = [context.Process(target=_bench, args=(seed, able, todo, done)) for _ in range(processes)]
    for bench in benches:
        bench.start()
    try:
        for _ in numbers:
            try:
                plain = done.get(timeout=PATIENCE)
            except Empty:
                raise TimeoutError(f"none of {processes} cases ended within {PATIENCE:.0f} s") from None
            found = tuple(Named(**each) for each in plain.pop("found"))
            yield Ran(found=found, **plain)
    finally:
        for bench in benches:
            bench.join(10)
            bench.terminate()


def _bench(seed: int, able: Able, todo: Queue[int | None], done: Queue[dict[str, Any]]) -> None:
    root = Path(tempfile.mkdtemp(prefix="accuracy-"))
    options = Options("process", (), None, None, {}, BOOT, keep=False)
    workshop = _Recording(options, Defaults(), root, uuid.uuid4().hex[:12])
    try:
        while (number := todo.get()) is not None:
            try:
                done.put(asdict(_run(workshop, case(seed, number, able), root)))
            except Exception:  # noqa: BLE001 - one broken case must not end the others; it is told
                done.put(asdict(Ran(number, (), "error", traceback.format_exc(), (), 0.0, 0.0, "")))
    finally:
        workshop.close()
        shutil.rmtree(root, ignore_errors=True)


class _Recording(Workshop):
    """A workshop that keeps the facts of the deployment that ran last."""

    facts = ""

    def start(self, *arguments: Any, **options: Any) -> LiveDeployment:
        self.facts = ""
        live = super().start(*arguments, **options)
        taken = live.facts

        def record() -> recorded.Facts:
            facts = taken()
            self.facts = recorded.to_json(facts).decode()
            return facts

        setattr(live, "facts", record)  # noqa: B010 - what is measured is the library's own run(), untouched
        return live


def _run(workshop: _Recording, made: Case, root: Path) -> Ran:
    folder = root / f"case{made.number}"
    folder.mkdir()
    started, before = time.monotonic(), _cpu()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        write(made, folder)
        (deployment,) = read_deployments(folder / CONFIG, folder, Defaults())
        report = run(workshop, deployment, DEFAULT_CHECKS, lambda _line: None).report
    workers = _workers(report)
    found = tuple(
        Named(each.cause, each.where, tuple(sorted(set(each.workers) & set(workers))), each.evidence)
        for each in report.findings
    )
    seconds = round(time.monotonic() - started, 2)
    return Ran(
        made.number, found, report.verdict, report.error, workers, seconds, round(_cpu() - before, 2), workshop.facts
    )


def _workers(report: DeploymentReport) -> tuple[int, ...]:
    return tuple(each.pid for replica in report.replicas for each in replica.workers if each.role == "worker")


def _cpu() -> float:
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in times)
