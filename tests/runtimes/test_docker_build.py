"""Images: what is sent to the builder, that it is built once, what is said when it fails."""

from __future__ import annotations

import io
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace

import psutil
import pytest
from docker.errors import ImageNotFound
from docker_apps import DOCKERFILE, PYTHON_IMAGE, until

from pytest_llamakey.runtimes.base import Plan, RuntimeFault
from pytest_llamakey.runtimes.docker_build import Images, shared_folder
from pytest_llamakey.runtimes.docker_context import declared_args, pack
from pytest_llamakey.runtimes.without_image import without_image
from pytest_llamakey.secrecy.keys import DECOY, Secrets
from pytest_llamakey.spec.model import Deployment, Origin, Service

REAL = "sk-proj-thisIsTheTestersOwnKey123"


def deployment(folder, **fields):
    return replace(Deployment(id="t", name="t", folder=folder, source=None, runtime="docker", build="."), **fields)


@pytest.fixture
def plan(docker_run_id):
    def make(folder, **fields):
        of_plan = {name: fields.pop(name) for name in list(fields) if name in Plan.__dataclass_fields__}
        of_plan.setdefault("build_args", {"PYTHON_IMAGE": PYTHON_IMAGE})
        return Plan(run_id=docker_run_id, deployment=deployment(folder, **fields), environment={}, **of_plan)

    return make


def contents(context):
    with tarfile.open(fileobj=io.BytesIO(context.tar.read())) as tar:
        return {info.name: tar.extractfile(info).read().decode() if info.isfile() else "" for info in tar}


def test_a_unit_without_an_image_is_told_what_it_is_booted_in(tmp_path):
    with pytest.raises(RuntimeFault, match=r"no Dockerfile at .* A unit is booted in an image that has systemd"):
        pack(deployment(tmp_path, runtime="systemd", unit="app.service"), {})


def test_the_context_leaves_out_what_is_ignored_and_defuses_dotenv(app_folder):
    files = {
        ".env": f"OPENAI_API_KEY={REAL}\nPORT=80\n",
        "sub/.env.local": f"export TOKEN='{REAL}'",
        "prod.env": f"# {REAL}",
        "app.py": "1",
        "big/x": "1",
        ".dockerignore": "# no\nbig\n",
    }
    packed = contents(pack(deployment(app_folder("", files)), {}))
    assert REAL not in str(packed)
    assert packed[".env"] == f"OPENAI_API_KEY={DECOY}\nPORT=80\n"
    assert set(packed) == {".dockerignore", ".env", "Dockerfile", "app.py", "prod.env", "sub", "sub/.env.local"}


def test_the_digest_follows_content_and_arguments_not_times(app_folder):
    import os

    folder = app_folder("ARG A", {"app.py": "1"})
    first = pack(deployment(folder), {"A": "1"}).digest
    os.utime(folder / "app.py", (1, 1))
    assert pack(deployment(folder), {"A": "1", "UNDECLARED": "2"}).digest == first
    assert pack(deployment(folder), {"A": "2"}).digest != first
    (folder / "app.py").write_text("2")
    assert pack(deployment(folder), {"A": "1"}).digest != first


def test_hard_links_and_pipes_do_not_spoil_the_context(app_folder):
    import os

    folder = app_folder("", {"a": "same"})
    os.link(folder / "a", folder / "b")
    os.mkfifo(folder / "pipe")
    packed = contents(pack(deployment(folder), {}))
    assert packed["a"] == packed["b"] == "same"
    assert "pipe" not in packed


def test_a_dockerfile_outside_of_its_folder_is_taken_along(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "D").write_text("FROM scratch\n")
    context = pack(deployment(tmp_path, build="src", dockerfile="../docker/D"), {})
    assert contents(context) == {context.dockerfile: "FROM scratch\n"}


def test_a_missing_dockerfile_is_named_with_its_line(tmp_path):
    given = deployment(tmp_path, dockerfile="Dockerfil", origins={"dockerfile": Origin("llamakey.toml", 4)})
    with pytest.raises(RuntimeFault, match=r"no Dockerfile at .*Dockerfil \(named in llamakey.toml:4\)"):
        pack(given, {})


def test_declared_arguments_are_found():
    assert declared_args(b"ARG A\nARG B=1 C='x'\nFROM a\n# ARG D\nRUN echo ARG E\narg F\n") == {"A", "B", "C", "F"}


@pytest.mark.engine
def test_the_testers_key_is_not_in_the_image(app_folder, start):
    folder = app_folder('CMD ["sh", "-c", "cat .env; env"]', {".env": f"A=1\nOPENAI_API_KEY={REAL}\n"})
    (replica,) = start(folder).replicas
    assert until(replica.exited)
    assert replica.logs().decode().startswith(f"A=1\nOPENAI_API_KEY={DECOY}\n")
    assert REAL not in replica.logs().decode()


@pytest.mark.engine
def test_buildkit_builds_and_once_a_session(app_folder, docker_runtime, docker_reaper, plan):
    from pytest_llamakey.runtimes.docker import DockerRuntime

    lines = []
    given = plan(
        app_folder("RUN --mount=type=cache,target=/root/.cache echo been-here"), verbose=True, progress=lines.append
    )
    image = docker_runtime.build(given)
    assert image.startswith("sha256:")
    assert any("been-here" in line for line in lines)
    lines.clear()
    assert docker_runtime.build(given) == image
    # Another worker process of the same run has nothing in memory.
    assert DockerRuntime(docker_reaper).build(given) == image
    assert lines == []


@pytest.mark.engine
def test_a_worker_of_the_run_that_is_done_meanwhile_takes_nothing_away(app_folder, docker_reaper, plan):
    """What the workers of a run share goes with the first of them that ends."""
    from pytest_llamakey.runtimes.docker import DockerRuntime

    given = plan(app_folder("RUN true"), progress=lambda _line: shutil.rmtree(shared, ignore_errors=True))
    shared = shared_folder(given.run_id)
    assert DockerRuntime(docker_reaper).build(given).startswith("sha256:")


@pytest.mark.engine
def test_a_failed_build_tells_step_and_last_lines(app_folder, docker_runtime, plan):
    lines = []
    folder = app_folder("RUN echo about to fail && exit 7\nRUN true")
    with pytest.raises(RuntimeFault) as fault:
        docker_runtime.build(plan(folder, progress=lines.append))
    assert str(fault.value).startswith(f"Building {folder}/Dockerfile failed at step [")
    assert "RUN echo about to fail && exit 7" in str(fault.value).splitlines()[0]
    assert "about to fail\n" in str(fault.value)
    assert {line.partition(" [")[0] for line in lines} == {f"Building {folder}/Dockerfile"}
    assert any("RUN echo about to fail" in line for line in lines)


@pytest.mark.engine
def test_the_engines_own_builder_does_as_well(app_folder, docker_reaper, plan, monkeypatch):
    from pytest_llamakey.runtimes.docker import DockerRuntime

    monkeypatch.setenv("PATH", "/nonexistent")
    runtime = DockerRuntime(docker_reaper)
    image = runtime.build(plan(app_folder("RUN echo old")))
    assert image.startswith("sha256:")
    with pytest.raises(RuntimeFault, match=r"failed at step \d/\d : RUN exit 3"):
        runtime.build(plan(app_folder("RUN exit 3")))
    with pytest.raises(RuntimeFault, match="needs BuildKit: put a `docker`"):
        runtime.build(plan(app_folder("RUN --mount=type=cache,target=/x true")))
    runtime._engine().client.images.remove(image)


@pytest.mark.engine
@pytest.mark.parametrize("buildkit", [True, False])
@pytest.mark.parametrize(
    ("dockerfile", "hint"),
    [
        ("ARG BASE=localhost:9/no/base:1\nFROM ${BASE}\nRUN true\n", "--llamakey-build-arg BASE=<image>"),
        ("FROM localhost:9/no/base:1 AS one\nFROM one\n", "`ARG PYTHON_IMAGE=localhost:9/no/base:1` above `FROM"),
    ],
)
def test_a_base_image_that_cannot_be_pulled_says_how_to_name_another(
    app_folder, docker_reaper, plan, monkeypatch, buildkit, dockerfile, hint
):
    from pytest_llamakey.runtimes.docker import DockerRuntime

    if not buildkit:
        monkeypatch.setenv("PATH", "/nonexistent")
    folder = app_folder("", dockerfile=dockerfile)
    with pytest.raises(RuntimeFault) as fault:
        DockerRuntime(docker_reaper).build(plan(folder))
    first = str(fault.value).partition("\n")[0]
    line = 2 if dockerfile.startswith("ARG") else 1
    assert f"The base image localhost:9/no/base:1 (Dockerfile:{line}) is not here and could not be pulled." in first
    assert hint in first
    assert 'Without an image, as plain processes: add command = ["…"] to ' in first


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"build": ".", "command": ("gunicorn",)}, "Without an image, as plain processes: --llamakey-runtime process."),
        ({"build": "."}, 'add command = ["…"] to llamakey.toml, then --llamakey-runtime process.'),
        ({"build": ".", "command": ("gunicorn",), "only_in": "docker"}, ""),
        ({"build": ".", "command": ("gunicorn",), "replicas": 2}, ""),
        ({"build": ".", "command": ("gunicorn",), "egress": "deny"}, ""),
        ({"build": ".", "command": ("gunicorn",), "services": (Service("db", "postgres:17"),)}, ""),
        ({"image": "shop:1", "command": ("gunicorn",)}, ""),
        ({"runtime": "kubernetes", "build": "."}, ""),
    ],
)
def test_what_runs_without_an_image(tmp_path, fields, told):
    said = without_image(deployment(tmp_path, **fields))
    assert said.endswith(told)
    assert bool(said) == bool(told)


@pytest.mark.engine
@pytest.mark.parametrize("buildkit", [True, False])
def test_a_build_for_which_the_engine_has_no_room_says_so(app_folder, docker_reaper, plan, monkeypatch, buildkit):
    """The words are those of a program whose write fails, as of the engine itself (`make torture` fills a disk)."""
    from pytest_llamakey.runtimes.docker import DockerRuntime

    if not buildkit:
        monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(RuntimeFault) as fault:
        DockerRuntime(docker_reaper).build(plan(app_folder("RUN head -c 9 /dev/zero > /dev/full")))
    told = str(fault.value)
    assert "There is no room left where the container engine keeps its data" in told.partition("\n")[0]
    assert "No space left on device" in told


class Pulls:
    """An engine that has no image, and whose pull begins well and ends in these words."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.images = self.api = self

    def get(self, name: str) -> None:
        raise ImageNotFound(f"No such image: {name}")

    def pull(self, _name: str, **_: object) -> list[dict[str, str]]:
        return [{"id": "a1", "status": "Downloading"}, {"error": self.words}]


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("write /data/layer: no space left on device", "There is no room left where the container engine keeps its"),
        ("unexpected EOF", "Correct `image`, pull or build it first"),
    ],
)
def test_of_a_pull_that_fails_on_its_way_the_engines_own_words_are_told(plan, tmp_path, words, mend):
    images = Images(Pulls(words), None)
    with pytest.raises(RuntimeFault) as fault:
        images.image(plan(tmp_path, image="shop:1", build=None))
    assert f"There is no image shop:1: the container engine says: {words}. {mend}" in str(fault.value)


INTERRUPTED = """
import sys
from pathlib import Path
from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import Plan
from pytest_llamakey.runtimes.docker import DockerRuntime
from pytest_llamakey.spec.model import Deployment
reaper = Reaper(sys.argv[2])
deployment = Deployment(id="t", name="t", folder=Path(sys.argv[1]), source=None, runtime="docker", build=".")
plan = Plan(sys.argv[2], deployment, {}, verbose=True, progress=lambda line: print(line, flush=True),
            build_args={"PYTHON_IMAGE": sys.argv[3]})
DockerRuntime(reaper).build(plan)
"""


@pytest.mark.engine
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_build_ends_with_its_client(app_folder, signum):
    marker = secrets.token_hex(8)
    folder = app_folder(f"RUN echo begun-{marker} && sleep 300")
    run = f"interrupted-{marker}"
    command = [sys.executable, "-c", INTERRUPTED, str(folder), run, PYTHON_IMAGE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with process:
        assert any(line.rstrip().endswith(f" begun-{marker}") for line in process.stdout)
        assert processes_with(marker)
        process.send_signal(signum)
        process.wait(10)
    assert until(lambda: not processes_with(marker), 10)
    assert until(lambda: not shared_folder(run).exists(), 10)


def processes_with(marker):
    """Programs that have ``marker`` on their command line: the build step's shell, as this machine sees it."""
    return [p for p in psutil.process_iter(["cmdline"]) if f"begun-{marker} " in " ".join(p.info["cmdline"] or ())]


@pytest.mark.engine
def test_a_second_run_with_nothing_changed_looks_at_its_image_once(
    app_folder, docker_runtime, docker_reaper, plan, monkeypatch
):
    from docker.api.image import ImageApiMixin

    from pytest_llamakey.runtimes.docker import DockerRuntime

    folder = app_folder('CMD ["sleep", "60"]', {"a": "unchanged"})
    first = docker_runtime.start(plan(folder))
    first.stop()
    looks, inspect = [], ImageApiMixin.inspect_image
    monkeypatch.setattr(ImageApiMixin, "inspect_image", lambda self, image: looks.append(image) or inspect(self, image))
    running = DockerRuntime(docker_reaper).start(replace(plan(folder), run_id=f"second{secrets.token_hex(4)}-1"))
    try:
        running.contents(Secrets.fresh())
    finally:
        running.stop()
    assert (running.image, looks) == (first.image, [first.image])


@pytest.mark.engine
def test_older_images_of_the_same_dockerfile_go(app_folder, docker_runtime, docker_reaper, plan):
    from docker.errors import ImageNotFound

    from pytest_llamakey.runtimes.docker import DockerRuntime

    client = docker_runtime._engine().client
    folder = app_folder("RUN echo 1", {"a": "1"})
    earlier = DockerRuntime(docker_reaper).build(replace(plan(folder), run_id="earlier-run-1"))
    other = app_folder("RUN echo 2", {"a": "2"}, DOCKERFILE)
    now = docker_runtime.build(plan(other))
    (folder / "a").write_text("3")
    third = docker_runtime.build(plan(folder))
    with pytest.raises(ImageNotFound):
        client.images.get(earlier)
    for image in (now, third):
        assert client.images.get(image).id == image
        client.images.remove(image)
