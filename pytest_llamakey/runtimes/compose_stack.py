"""One compose project of this run's own: its calls of ``docker compose``, and what the engine made for it."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import Refused, RuntimeFault
from pytest_llamakey.runtimes.compose_tool import ComposeTimeout
from pytest_llamakey.runtimes.docker_engine import engine_words, no_room
from pytest_llamakey.starting.log_lines import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.compose_folder import ProjectFolder
    from pytest_llamakey.runtimes.compose_tool import ComposeTool, Said
    from pytest_llamakey.runtimes.docker_belongings import Belongings
    from pytest_llamakey.spec.model import Deployment

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
CONFIG_SECONDS = 60
BUILD_SECONDS = 3600
CREATE_SECONDS = 1800
"""Creating containers pulls the images that are not there yet."""
TAIL_LINES = 30
_REQUIRED = re.compile(r"required variable (\w+) is missing a value")
_WARNING = re.compile(r'^time="[^"]*" level=\w+ msg="?|^level=\w+ msg=')
_NOISE = re.compile(r"^\s*(?:Container|Network|Volume|Image) \S+\s+\w+\s*$")


@dataclass(frozen=True)
class Stack:
    """A project: its name, its folder, the override file, and the environment of the calls."""

    name: str
    deployment: Deployment
    folder: ProjectFolder
    overrides: Path
    profiles: tuple[str, ...]
    environment: Mapping[str, str]
    tool: ComposeTool
    over: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set when nothing of it is wanted any more: a call that is under way is ended."""

    def config(self) -> Mapping[str, Any]:
        """The user's own files resolved, as compose understands them.

        Raises:
            Refused: a variable that must be set is not; with compose's words and the line.
            RuntimeFault: compose does not understand them, in its words.
        """
        said = self._call(["config", "--format", "json"], CONFIG_SECONDS, "resolve the compose file", ())
        if said.code:
            words = self._refused(said)
            raise Refused(words) if _REQUIRED.search(words) else RuntimeFault(words)
        try:
            found: Mapping[str, Any] = json.loads(said.output)
        except ValueError:  # compose 2.40 ends with 0 where it cannot decode the file
            raise RuntimeFault(self._refused(said)) from None
        return found

    def build(self, service: str, tag: str, arguments: Mapping[str, str]) -> None:
        """Build the image of ``service`` as ``tag``, in the copy of the folder.

        Raises:
            RuntimeFault: compose does not; with the end of its output.
        """
        naming = self.overrides.with_name(f"build-{tag}.yaml")
        naming.write_text(json.dumps({"services": {service: {"image": tag}}}), encoding="utf-8")
        words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        said = self._call(["build", *words, service], BUILD_SECONDS, f"build {service}", (naming,), progress="plain")
        if said.code:
            lines = self.folder.in_users_words(said.output + said.errors).splitlines()[-TAIL_LINES:]
            told = "\n".join(map(shortened, lines))
            raise RuntimeFault(f"{self._files()}: docker compose build {service} failed.{no_room(told)}\n{told}")

    def create(self, *arguments: str, scale: int | None) -> None:
        """Create the containers and start none of them.

        Raises:
            RuntimeFault: compose does not.
        """
        words = ["up", "--no-start", "--no-build", *self._scaled(scale), *arguments]
        said = self._call(words, CREATE_SECONDS, "create the containers", (self.overrides,))
        if said.code:
            raise RuntimeFault(self._refused(said))

    def up(self, *arguments: str, scale: int | None, seconds: float) -> str:
        """Start what has been created, in the order of ``depends_on``; what went wrong, or an empty string.

        Raises:
            RuntimeFault: it was not done in time.
        """
        words = ["up", "--detach", "--no-recreate", "--no-build", *self._scaled(scale), *arguments]
        said = self._call(words, seconds, "start the app and what it depends on", (self.overrides,))
        return self._refused(said) if said.code else ""

    def _scaled(self, scale: int | None) -> list[str]:
        """Without a number of ours the compose file's own holds."""
        return [] if scale is None else ["--scale", f"{self.deployment.service}={scale}"]

    def containers(self, client: docker.DockerClient) -> list[Container]:
        """The project's containers, in the order of their services' names and numbers."""
        with engine_words("Looking for the containers of the project"):
            found = client.containers.list(
                all=True, filters={"label": f"{PROJECT_LABEL}={self.name}"}, ignore_removed=True
            )
        return sorted(found, key=lambda one: (service_of(one), int(one.labels.get(NUMBER_LABEL) or 0)))

    def take(self, client: docker.DockerClient, belongings: Belongings) -> None:
        """Everything that compose has made for the project belongs to the deployment from here on."""
        mark = {"label": f"{PROJECT_LABEL}={self.name}"}
        for container in self.containers(client):
            belongings.container(container)
        with engine_words("Looking for what compose has made"):
            for network in client.networks.list(filters=mark):
                belongings.network(str(network.id))
            for volume in client.volumes.list(filters=mark):
                belongings.volume(str(volume.name))

    def _call(
        self, words: list[str], seconds: float, doing: str, over: tuple[Path, ...], *, progress: str = "quiet"
    ) -> Said:
        """Call compose with the user's files, and those ``over`` them."""
        command = ["--project-name", self.name, "--project-directory", str(self.folder.copy), "--progress", progress]
        command += [word for file in (*self.folder.files, *over) for word in ("--file", str(file))]
        command += [word for profile in self.profiles for word in ("--profile", profile)]
        try:
            return self.tool.run([*command, *words], self.folder.copy, self.environment, seconds, self.over)
        except ComposeTimeout as late:
            last = f" It said last: {self.folder.in_users_words(str(late))}" if str(late) else ""
            raise RuntimeFault(f"docker compose did not {doing} within {seconds:.0f} s.{last}") from None

    def _refused(self, said: Said) -> str:
        lines = [line for line in said.errors.splitlines() if line.strip() and not _NOISE.match(line)]
        errors = [line for line in lines if not _WARNING.match(line)] or lines
        words = self.folder.in_users_words("\n".join(errors)).strip()
        required = _REQUIRED.search(words)
        place = self._line_with(required[1]) if required else self._files()
        advice = no_room(words)
        if required:
            advice = f'\nSet it where it comes from: key = "env:{required[1]}", or env = {{ {required[1]} = "…" }}.'
        elif "env file" in words and "not found" in words:
            advice = '\nIf the key is to be in that file, deliver it there: key = "dotenv:PATH".'
        return f"{place}: docker compose says: {words}{advice}"

    def _files(self) -> str:
        return ", ".join(map(self.deployment.shown, self.deployment.compose))

    def _line_with(self, variable: str) -> str:
        """The line that requires a variable to be set."""
        wanted = re.compile(rf"\$\{{{variable}:?\?")
        for name in self.deployment.compose:
            path = self.deployment.folder / name
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                if wanted.search(line):
                    return f"{self.deployment.shown(name)}:{number}"
        return self._files()


def service_of(container: Container) -> str:
    """The service that a container belongs to."""
    return str(container.labels.get(SERVICE_LABEL, ""))
