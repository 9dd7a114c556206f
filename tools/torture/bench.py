"""A folder with an app, a temporary folder of its own, and runs of pytest on them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tools.torture.cases import Broken, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
RUN_LABEL = "org.pytest-llamakey.run"
LIMIT = 240.0
"""Seconds after which a run hangs."""
LEFT = 10.0
"""Seconds after which nothing of a run may be left."""
LOOK = 0.2
"""Seconds between two looks at which runs a pytest has."""
_OURS = re.compile(r'INTERNALERROR|pytest_llamakey/\S+\.py:\d+:|File ".*pytest_llamakey/')


@dataclass(frozen=True)
class Ran:
    """What came of one pytest."""

    code: int
    output: str
    report: Mapping[str, Any]
    seconds: float

    @property
    def verdicts(self) -> list[str]:
        """The verdict of each deployment."""
        return [one["verdict"] for one in self.report.get("deployments", [])]

    @property
    def errors(self) -> str:
        """What the deployments' reports say of errors."""
        return "\n".join(str(one.get("error", "")) for one in self.report.get("deployments", []))

    @property
    def causes(self) -> list[str]:
        """Every cause that was named."""
        return sorted({cause for one in self.report.get("deployments", []) for cause in one["causes"]})


@dataclass
class Bench:
    """Where one case takes place. ``environment`` is laid over the tester's own.

    ``contained``: pids of the pytests that run containers. ``runs``: by pid, the ids that were seen of their runs.
    """

    folder: Path
    temporary: Path
    image: str
    cache: Path
    environment: dict[str, str] = field(default_factory=dict)
    begun: list[subprocess.Popen[str]] = field(default_factory=list)
    contained: set[int] = field(default_factory=set)
    runs: dict[int, set[str]] = field(default_factory=dict)

    def write(self, files: Mapping[str, str]) -> None:
        """Write these files into the app's folder."""
        for name, text in files.items():
            place = self.folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

    def command(self, runtime: str, *arguments: str) -> list[str]:
        """A pytest on the folder with nothing but our plugin."""
        own = ["-p", "no:cacheprovider", "-p", "pytest_llamakey.plugin", "--llamakey", "--llamakey-runtime", runtime]
        build = ["--llamakey-build-arg", f"PYTHON_IMAGE={self.image}"]
        return [sys.executable, "-m", "pytest", *own, *build, *arguments, str(self.folder)]

    def begin(self, runtime: str, *arguments: str, wrapped: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start pytest and return at once; its output goes to ``output.txt`` beside the folder."""
        output = (self.folder.parent / f"output{len(self.begun)}.txt").open("w")
        own = {"TMPDIR": str(self.temporary), "XDG_CACHE_HOME": str(self.cache), "PYTHONPATH": str(ROOT)}
        own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}
        with output:
            process = subprocess.Popen(
                [*wrapped, *self.command(runtime, *arguments)],
                cwd=self.folder,
                env={**os.environ, **own, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.begun.append(process)
        if runtime != "process":
            self.contained.add(process.pid)
        return process

    def note(self, process: subprocess.Popen[str]) -> list[str]:
        """The ids of the runs that it has now; those with containers are looked for by :meth:`nothing_left`."""
        found = runs_of(process.pid)
        if found and process.pid in self.contained:
            self.runs.setdefault(process.pid, set()).update(found)
        return found

    def run(self, runtime: str, *arguments: str, limit: float = LIMIT) -> Ran:
        """Run pytest to its end.

        Raises:
            Broken: it did not end within ``limit`` seconds, or has shown a traceback of ours.
        """
        report = self.folder.parent / f"report{len(self.begun)}.json"
        started = time.monotonic()
        process = self.begin(runtime, "--llamakey-report", str(report), *arguments)
        return self.ended(process, report, started, limit)

    def ended(self, process: subprocess.Popen[str], report: Path, started: float, limit: float = LIMIT) -> Ran:
        """What came of a process of :meth:`begin`; raises as :meth:`run` does."""
        end = time.monotonic() + limit
        while process.poll() is None:
            if time.monotonic() > end:
                process.kill()
                raise Broken(f"hangs: no end within {limit:.0f} s\n{self.output(process)[-2000:]}")
            for one in self.begun:  # another may end while this one is waited for
                if one.poll() is None:
                    self.note(one)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
        seconds = time.monotonic() - started
        if process.pid in self.contained:
            self.runs.setdefault(process.pid, set())
        output = self.output(process)
        data = json.loads(report.read_text()) if report.exists() else {}
        found = of_ours(output)
        hold(not found, f"a traceback of ours: {found}\n{output[-3000:]}")
        return Ran(process.returncode, output, data, seconds)

    def output(self, process: subprocess.Popen[str]) -> str:
        """What a process of :meth:`begin` has written so far."""
        path = self.folder.parent / f"output{self.begun.index(process)}.txt"
        return path.read_text(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Every living process that was started in this case's temporary folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE and str(self.temporary) in process.environ().get(
                    "PATH", ""
                ):
                    found.append(process)
        return found

    def remains(self, *, contained: bool = True) -> list[str]:
        """What is still there of this case's runs; without ``contained``, of processes and files alone."""
        found = [f"process {process.pid}" for process in self.processes()]
        found += [f"file {path.name}" for path in self.temporary.iterdir() if not path.name.startswith("pytest-of")]
        host = self.environment.get("DOCKER_HOST", "")
        for run in set().union(*self.runs.values()) if contained else ():
            found += [f"{kind} {name}" for kind, name in labelled(run, host)]
        return found

    def nothing_left(self, seconds: float = LEFT, *, contained: bool = True) -> None:
        """Raises :class:`Broken` if something of the runs is there after ``seconds``; see :meth:`remains`.

        So it does where nobody has seen the id of a run that has ended: its containers could not be looked for.
        """
        hold(all(self.runs.values()), "a run with containers of which no id was seen")
        if not until(lambda: not self.remains(contained=contained), seconds):
            raise Broken(f"left after {seconds:.0f} s: {', '.join(self.remains(contained=contained))}")


def of_ours(output: str) -> str:
    """The first line of a traceback of ours, or of pytest's about us, in what pytest has written; or nothing."""
    # Line by line, and not by a pattern of whole lines: those of megabytes would take hours.
    return next((line for line in output.splitlines() if _OURS.search(line)), "")


def labelled(run: str, host: str = "") -> list[tuple[str, str]]:
    """Kind and name of all in the engine (at ``host``, by default the usual one) that bears the label of this run."""
    import docker

    client = docker.DockerClient(host) if host else docker.from_env()
    mark = {"label": f"{RUN_LABEL}={run}"}
    try:
        found = [
            ("container", str(one.name)) for one in client.containers.list(all=True, filters=mark, ignore_removed=True)
        ]
        found += [("network", str(one.name)) for one in client.networks.list(filters=mark)]
        found += [("volume", str(one.name)) for one in client.volumes.list(filters=mark)]
        return found + [("image", str(one["Id"])) for one in client.api.images(filters=mark)]
    finally:
        client.close()


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it that are there now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def runs_of(pid: int) -> list[str]:
    """The run ids of a pytest and its xdist workers: each stands in the command line of a reaper."""
    found = []
    for process in family(pid):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(word.endswith("reaper_child.py") for word in words):
                found.append(words[-2])
    return found


def until(condition: Callable[[], Any], seconds: float) -> Any:
    """The first true answer of ``condition``, or the last one when time is over."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return answer


@contextlib.contextmanager
def bench(image: str, cache: Path) -> Iterator[Bench]:
    """A fresh bench; whatever it has begun is killed on leaving."""
    with tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True) as place:
        folder, temporary = Path(place, "app"), Path(place, "tmp")
        folder.mkdir()
        temporary.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")
        made = Bench(folder, temporary, image, cache)
        try:
            yield made
        finally:
            for process in made.begun:
                for one in family(process.pid) if process.poll() is None else ():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.send_signal(signal.SIGKILL)
                process.wait()
