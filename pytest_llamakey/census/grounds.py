"""Where processes can be looked at: this machine, a container, a pod's container; each by the same visitor."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from docker.errors import APIError

from pytest_llamakey.census import visitor
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_engine import engine_words, explain
from pytest_llamakey.runtimes.warden_client import warden_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_llamakey.runtimes.kubernetes_api import Cluster

SECONDS = 20
"""How long one program may take that is asked where the processes are."""
PYTHONS = (
    "python3",
    "python",
    "/usr/local/bin/python3",
    "/opt/venv/bin/python",
    "/venv/bin/python",
    "/app/.venv/bin/python",
)
"""What a container's Python may be called; its own processes are asked with whichever answers first."""


class Ground(Protocol):
    """One place with processes."""

    name: str

    def visit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The visitor's answer; raises :class:`RuntimeFault` where it cannot be had."""

    def output(self, command: Sequence[str]) -> str:
        """What a program of the place prints; empty where it is not there or fails."""


class Here:
    """The machine that this runs on."""

    name = "this machine"

    def visit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The visitor's answer; raises :class:`RuntimeFault` where there is no ``/proc``."""
        if not Path("/proc/self/environ").exists():
            raise RuntimeFault(
                "A census of this machine's own processes reads /proc, which only Linux has. Containers and pods can "
                "be looked at from here all the same."
            )
        return visitor.visit(dict(request))

    def output(self, command: Sequence[str]) -> str:
        """What a program prints; empty where it is not there or fails."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout if done.returncode == 0 else ""


class Inside:
    """A running container of a local or remote engine."""

    def __init__(self, container: Any, name: str = "") -> None:
        self._container = container
        self.name = name or str(container.name)

    def visit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The visitor's answer, as root where the engine allows it.

        Raises:
            RuntimeFault: the container has no Python that could be asked, or does not run.
        """
        heard = ""
        for python in PYTHONS:
            for privileged, user in ((True, "0"), (False, "0"), (False, "")):
                _code, printed = self._run([python, "-S", "-E", "-c", program(request)], privileged, user)
                answer = _answer(printed)
                if answer is not None:
                    return answer
                heard = printed.strip().rpartition("\n")[2] or heard
                if "not found" in printed or "no such file" in printed:  # whoever asks for it
                    break
        raise RuntimeFault(f"{self.name}: no Python in it could be asked ({heard}).")

    def output(self, command: Sequence[str]) -> str:
        """What a program of the container prints; empty where it is not there or fails."""
        code, printed = self._run(command, privileged=False, user="0")
        return printed if code == 0 else ""

    def _run(self, command: Sequence[str], privileged: bool, user: str) -> tuple[int, str]:
        with engine_words(f"Looking into container {self.name}"):
            try:
                code, printed = self._container.exec_run(list(command), privileged=privileged, user=user, workdir="/")
            except APIError as error:  # what one way of entering is refused, another may be allowed
                code, printed = 1, explain(error).encode()
        return int(code if code is not None else 1), (printed or b"").decode("utf-8", "replace")


class InPod:
    """A running container of a pod."""

    def __init__(self, cluster: Cluster, namespace: str, pod: str, container: str) -> None:
        self._cluster, self._where = cluster, (namespace, pod, container)
        self.name = f"{pod}/{container}"

    def visit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The visitor's answer, as the container's own user.

        Raises:
            RuntimeFault: the container has no Python that could be asked, or may not be entered.
        """
        from pytest_llamakey.runtimes.kubernetes_exec import FIRST_LINE, Exec

        heard = ""
        for python in PYTHONS:
            stream = Exec(self._cluster, *self._where, [python, "-S", "-E", "-c", FIRST_LINE])
            try:
                stream.send(json.dumps(program(request)).encode() + b"\n")
                while (answer := _answer(stream.line().decode("utf-8", "replace"))) is None:
                    continue
            except OSError as error:
                heard = stream.complaint() or str(error)
                continue
            finally:
                stream.close()
            return answer
        raise RuntimeFault(f"{self.name}: no Python in it could be asked ({heard}).")

    def output(self, command: Sequence[str]) -> str:
        """Nothing: no program but Python is asked in a pod."""
        del command
        return ""


def program(request: Mapping[str, Any]) -> str:
    """The visitor as one text for ``python -c``, with what it needs of the warden and with its request."""
    sources = {
        "pytest_llamakey.runtimes.warden": warden_source(),
        visitor.__name__: Path(visitor.__file__).read_text(encoding="utf-8"),
    }
    return (
        "import json, sys, types\n"
        f"for name, source in json.loads({json.dumps(sources)!r}).items():\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    exec(compile(source, name, 'exec'), sys.modules[name].__dict__)\n"
        f"sys.modules[{visitor.__name__!r}].main(json.loads({json.dumps(dict(request))!r}))\n"
    )


def _answer(printed: str) -> Mapping[str, Any] | None:
    """The visitor's answer in what was printed."""
    lines = [line for line in printed.splitlines() if line.startswith(visitor.MARK)]
    return dict(json.loads(lines[-1][len(visitor.MARK) :])) if lines else None
