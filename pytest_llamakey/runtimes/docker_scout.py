"""Looks into an image: its Python, every folder from which one of its Pythons loads packages, files that hold a key."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from docker.errors import APIError

from pytest_llamakey import cache
from pytest_llamakey.runtimes import package_folders
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_contents import SUSPECTS, KeyedLine, idle_container, keyed_lines, read_files
from pytest_llamakey.runtimes.docker_engine import ANSWER_SECONDS, engine_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.reaper import Reaper

_MARK = "llamakey-scout:"
_CACHE_FORMAT = "scout-2"
_SCRIPT = f"""{SUSPECTS}
{package_folders.SOURCE}
import json, sys
print({_MARK!r} + json.dumps([sys.executable, package_folders(), suspects(sys.argv[1])]))
"""


@dataclass(frozen=True)
class Findings:
    """``python`` is how to call the image's Python, empty where it has none; ``folders`` its package folders.

    ``keyed`` are the lines of files in the image that hold a key (never the key itself).
    """

    python: str = ""
    folders: tuple[str, ...] = ()
    keyed: tuple[KeyedLine, ...] = ()


class Scout:
    """Looks into images, once each; findings are kept on disk as well, for an image id never changes its content."""

    def __init__(self, client: docker.DockerClient, reaper: Reaper) -> None:
        self._client = client
        self._reaper = reaper
        self._known: dict[tuple[str, str], Findings] = {}
        self._locks: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def look(self, image: str, run_id: str, workdir: str) -> Findings:
        """What ``image`` (an id) offers; ``workdir`` is where the app stands, and maybe a virtual environment.

        Raises:
            RuntimeFault: a container of the image could not be made, or gave no answer.
        """
        asked = image, workdir
        with self._guard:
            lock = self._locks[asked]
        with lock:
            if asked not in self._known:
                findings = _load(*asked)
                if findings is None:
                    findings = self._explore(image, run_id, workdir)
                    cache.write(_CACHE_FORMAT, _cached_as(*asked), asdict(findings))
                self._known[asked] = findings
            return self._known[asked]

    def _explore(self, image: str, run_id: str, workdir: str) -> Findings:
        for python in self._candidates(image, workdir):
            answer = self._run(image, run_id, workdir, python)
            if answer is not None:
                return answer
        return Findings()

    def _candidates(self, image: str, workdir: str) -> Iterator[str]:
        yield from ("python3", "python")
        with engine_words("Looking at the image"):
            config: dict[str, Any] = self._client.images.get(image).attrs.get("Config") or {}
        for words in (config.get("Entrypoint"), config.get("Cmd")):
            if words and PurePosixPath(words[0]).name.startswith("python"):
                yield words[0]
        yield f"{workdir.rstrip('/')}/.venv/bin/python"
        yield from ("/opt/venv/bin/python", "/venv/bin/python", "/opt/conda/bin/python", "/usr/local/bin/python3")

    def _run(self, image: str, run_id: str, workdir: str, python: str) -> Findings | None:
        """The answer of a short-lived container, or ``None`` where this is no Python that runs."""
        command = (python, "-E", "-s", "-c", _SCRIPT, workdir)
        with idle_container(self._client, self._reaper, image, run_id, command) as container:
            return self._ask(container)

    def _ask(self, container: Container) -> Findings | None:
        try:
            container.start()
        except APIError:
            return None  # there is no such program in the image
        try:
            container.wait(timeout=ANSWER_SECONDS)
        except OSError as error:  # requests' time-outs are of this kind
            raise RuntimeFault(f"Looking for Python in the image took more than {ANSWER_SECONDS} s.") from error
        output = container.logs(stdout=True, stderr=False).decode("utf-8", "replace")
        line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
        if line is None:
            return None
        python, folders, suspects = json.loads(line[len(_MARK) :])
        keyed = (line for path, content in read_files(container, suspects) for line in keyed_lines(path, content))
        return Findings(python, tuple(folders), tuple(keyed))


def _load(image: str, workdir: str) -> Findings | None:
    data = cache.read(_CACHE_FORMAT, _cached_as(image, workdir))
    try:
        keyed = tuple(KeyedLine(str(one["path"]), int(one["line"]), str(one["name"])) for one in data["keyed"])
        return Findings(str(data["python"]), tuple(map(str, data["folders"])), keyed)
    except (ValueError, KeyError, TypeError):
        return None


def _cached_as(image: str, workdir: str) -> str:
    return f"{image.replace(':', '-')}-{hashlib.sha256(workdir.encode()).hexdigest()[:8]}"
