"""From a deployment to an image id: a ready image, or a build, once a session for the same content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import threading
from collections import defaultdict, deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, ImageNotFound
from filelock import FileLock, Timeout

from pytest_llamakey.runtimes.base import Plan, RuntimeFault
from pytest_llamakey.runtimes.docker_buildkit import BuildKit, BuildTool, find_buildkit
from pytest_llamakey.runtimes.docker_context import Context, pack
from pytest_llamakey.runtimes.docker_engine import engine_words, explain, no_room, silence
from pytest_llamakey.runtimes.without_image import without_image
from pytest_llamakey.spec.dockerfile_facts import read
from pytest_llamakey.starting.log_lines import shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import docker

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.spec.model import Deployment

OWN_REPOSITORY = "pytest-llamakey"
"""Images that have to have a name are given one here, with the beginning of their id as the tag."""
BUILD_LABEL = "org.pytest-llamakey.build"
"""On every image made here; its value says of what (a Dockerfile, an interpreter), so that older ones can go."""
SILENCE_SECONDS = 1800
"""A build or pull that says nothing for so long is given up."""
LOCK_SECONDS = 3600
TAIL_LINES = 30
_STEPS = (
    re.compile(r"^\s*> \[(?P<step>[^\]]*\d+/\d+\].*?):?\s*$"),  # BuildKit's last words: " > [stage 3/4] RUN …:"
    re.compile(r"^Step (?P<step>\d+/\d+ : .*)$"),
    re.compile(r"^#\d+ \[(?P<step>[^\]]*\d+/\d+\] .*)$"),
)


# A build that ends where it looks its base image up: BuildKit names that step, the engine's own builder is at the FROM.
_UNPULLED = re.compile(r"^\s*> \[internal\] load metadata for |failed to resolve source metadata", re.MULTILINE)
_AT_FROM = re.compile(r"\d+/\d+ : FROM ", re.IGNORECASE)


class Images:
    """The images of one session. Thread-safe; the pytest-xdist workers of one run share them through small files."""

    def __init__(self, client: docker.DockerClient, reaper: Reaper) -> None:
        self._client = client
        self._reaper = reaper
        self._built: dict[str, str] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()
        self._tool: BuildTool | None = None

    def image(self, plan: Plan, target: str = "") -> str:
        """The id (``sha256:…``) of the image that ``plan`` is to run; ``target`` is the stage, empty for the last.

        Raises:
            RuntimeFault: there is no such image, or the build failed (with its last lines and the step).
        """
        if plan.deployment.image is not None:
            return self._ready_image(plan.deployment.image, plan)
        context = pack(plan.deployment, {**plan.deployment.build_args, **plan.build_args}, target)
        with contextlib.closing(context.tar):
            return self._build_once(context, plan)

    def _ready_image(self, name: str, plan: Plan) -> str:
        with engine_words(f"Looking for the image {name}"):
            try:
                return str(self._client.images.get(name).id)
            except ImageNotFound:
                plan.progress(f"Pulling {name}")
        try:
            for event in self._client.api.pull(name, stream=True, decode=True):
                if "error" in event:  # the answer has begun by then, so that it is none of HTTP's
                    raise _not_there(name, plan, str(event["error"]))
                if plan.verbose and "id" in event and "progress" not in event:
                    plan.progress(f"{event['id']}: {event.get('status', '')}")
            return str(self._client.images.get(name).id)
        except (APIError, ImageNotFound) as error:
            raise _not_there(name, plan, explain(error)) from error

    def _build_once(self, context: Context, plan: Plan) -> str:
        with self._guard:
            lock = self._locks[context.digest]
        with lock:
            known = self._built.get(context.digest)
            if known is None or not self._exists(known):
                known = self._build_shared(context, plan)
                self._built[context.digest] = known
            return known

    def _exists(self, image: str) -> bool:
        with engine_words("Looking for the built image"):
            try:
                self._client.images.get(image)
            except ImageNotFound:
                return False
            return True

    def _build_shared(self, context: Context, plan: Plan) -> str:
        """Build, or take what another worker process of this run has built meanwhile."""
        folder = shared_folder(plan.run_id)
        self._reaper.folder(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        record = folder / f"{context.digest}.json"
        try:
            with FileLock(folder / f"{context.digest}.lock", timeout=LOCK_SECONDS):
                image = _recorded(record)
                if image is None or not self._exists(image):
                    image = self._build(context, plan)
                    with contextlib.suppress(FileNotFoundError):  # a worker that was done took the folder with it
                        record.write_text(json.dumps({"image": image}), encoding="utf-8")
        except Timeout as error:
            raise RuntimeFault(
                f"Waited {LOCK_SECONDS} s for another worker of this test run to build {context.path}. Is it stuck?"
            ) from error
        return image

    def _build(self, context: Context, plan: Plan) -> str:
        if self._tool is None:
            self._tool = find_buildkit(self._reaper, SILENCE_SECONDS, partial(silence, self._client)) or EngineBuild(
                self._client
            )
        plan.progress(f"Building {context.path}")
        label = hashlib.sha256(f"{context.path}{context.target}".encode()).hexdigest()[:32]
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        step = ""
        image = ""
        for line, built in self._tool.build(context, {BUILD_LABEL: label}):
            image = built or image
            if not line.strip():
                continue
            tail.append(line)
            step = next((match["step"] for match in (pattern.match(line) for pattern in _STEPS) if match), step)
            at = f" [{step}" if "]" in step else f" {step}" if step else ""
            plan.progress(shortened(line) if plan.verbose else f"Building {context.path}{at}")
        if not image:
            if why := silence(self._client):
                raise RuntimeFault(f"Building {context.path} failed. {why}")
            raise RuntimeFault(_failure(context, step, tail, isinstance(self._tool, BuildKit), plan.deployment))
        self._remove_older(label, image, plan.run_id)
        return image

    def _remove_older(self, label: str, image: str, run_id: str) -> None:
        """Remove what earlier runs built from the same Dockerfile, as far as nothing uses it."""
        ours = {image, *self._built.values()} | {_recorded(path) for path in shared_folder(run_id).glob("*.json")}
        remove_others(self._client, label, ours, OWN_REPOSITORY)


def remove_others(client: docker.DockerClient, label: str, ours: Collection[str | None], repository: str) -> None:
    """Remove images with the build label ``label`` that are none of ``ours`` and have no name but in ``repository``."""
    # Tidying up decides nothing: an image in use, or gone already, stays as it is.
    with contextlib.suppress(APIError):
        for other in client.api.images(filters={"label": f"{BUILD_LABEL}={label}"}):  # images.list() inspects each
            tags = [tag for tag in other["RepoTags"] or () if tag != "<none>:<none>"]
            names = [name for name in tags if name.startswith(f"{repository}:")]
            if other["Id"] not in ours and names == tags:
                for name in names or [other["Id"]]:
                    with contextlib.suppress(APIError):
                        client.images.remove(name)


class EngineBuild:
    """Builds through the engine's API, with its own (old) builder."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    def build(self, context: Context, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Lines of the build's output, each with the image id once it is known; no id: the build failed."""
        with engine_words(f"Building {context.path}"):
            events: Iterator[dict[str, Any]] = self._client.api.build(
                fileobj=context.tar,
                custom_context=True,
                dockerfile=context.dockerfile,
                buildargs=dict(context.build_args),
                labels=labels,
                target=context.target or None,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=SILENCE_SECONDS,
            )
            built = ""
            for event in events:
                built = str((event.get("aux") or {}).get("ID", built))
                for line in str(event.get("stream") or event.get("error") or "").splitlines():
                    yield line, ""
                if "error" in event:
                    return
            yield "", built


def shared_folder(run_id: str) -> Path:
    """Where the worker processes of one run tell one another what is built: the run's part of ``run_id`` names it."""
    return Path(tempfile.gettempdir()) / f"pytest-llamakey-{run_id.partition('-')[0]}"


def _not_there(name: str, plan: Plan, words: str) -> RuntimeFault:
    origin = plan.deployment.origin("image")
    where = f" (named in {origin})" if origin else ""
    mend = no_room(words) or " Correct `image`, pull or build it first, or log in to its registry."
    return RuntimeFault(f"There is no image {name}{where}: the container engine says: {words}.{mend}")


def _recorded(record: Path) -> str | None:
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["image"])
    except (OSError, ValueError, KeyError):
        return None


def _failure(context: Context, step: str, tail: deque[str], buildkit: bool, deployment: Deployment) -> str:
    at = f" at step [{step}" if "]" in step else f" at step {step}" if step else ""
    lines = "\n".join(tail)
    advice = no_room(lines)
    if not advice and (_UNPULLED.search(lines) or _AT_FROM.match(step)):
        advice = f"{_base_advice(context, lines)}{without_image(deployment)}"
    elif not advice and not buildkit and "BuildKit" in lines:
        advice = " The Dockerfile needs BuildKit: put a `docker` command-line client that has it (buildx) on PATH."
    shown = "\n".join(map(shortened, tail))
    return f"Building {context.path} failed{at}.{advice}\n{shown}"


def _base_advice(context: Context, lines: str) -> str:
    """What to do where the image that a stage starts from is not here and cannot be pulled."""
    facts = read(context.path, build_args=context.build_args)
    stages = {stage.name.lower() for stage in facts.stages if stage.name}
    bases = [stage for stage in facts.stages if stage.base.lower() not in {*stages, "scratch"}]
    base = next((stage for stage in bases if stage.base in lines), bases[0] if len(bases) == 1 else None)
    if base is None:
        return " A base image is not here and could not be pulled."
    told = f" The base image {base.base} ({context.path.name}:{base.line}) is not here and could not be pulled."
    name = next((arg.name for arg in facts.args if arg.value == base.base and arg.line < base.line), None)
    if name is not None:
        return f"{told} Name one that can be: --llamakey-build-arg {name}=<image>."
    return (
        f"{told} Pull it first, or have the file take another: `ARG PYTHON_IMAGE={base.base}` above "
        "`FROM ${PYTHON_IMAGE}`, then --llamakey-build-arg PYTHON_IMAGE=<image>."
    )
