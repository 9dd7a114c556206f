from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llamakey.spec.keywords import apply, target
from pytest_llamakey.spec.model import Defaults, Deployment, HttpRequest, KeyDelivery, Origin, Ready, SpecError

TOML = """\
[[deployment]]
name = "api"
command = ["serve", "--port", "{port}"]
env = { A = "1", B = "1" }
workers = 2
ready = "/health"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/llamakey.toml").write_text(TOML)
    (tmp_path / "app/Dockerfile").write_text("FROM x\nEXPOSE 8000\nWORKDIR /app\n")
    return tmp_path


@pytest.fixture
def deployment(root: Path) -> Deployment:
    return target("app", root, Defaults({"ARG": "1"}, ("keyed",)))


class TestApply:
    def test_nothing_changes_nothing(self, deployment: Deployment, root: Path) -> None:
        assert apply(deployment, root) == deployment

    def test_fields_replace_and_env_is_merged(self, deployment: Deployment, root: Path) -> None:
        found = apply(
            deployment,
            root,
            workers=4,
            env={"B": "2", "C": "2"},
            command=("other",),
            key=["env:X"],
            request={"path": "/ask", "json": {"q": ("a",)}},
            checks=["wire"],
        )
        assert found.workers == 4
        assert found.env == {"A": "1", "B": "2", "C": "2"}
        assert found.command == ("other",)
        assert found.key == (KeyDelivery("env", "X"),)
        assert found.requests == (HttpRequest("/ask", "POST", json={"q": ["a"]}),)
        assert found.checks == ("wire",)
        assert (found.ready, found.build_args) == (Ready("/health"), {"ARG": "1"})
        assert (found.id, found.source, found.port, found.workdir) == (
            "app/llamakey.toml::api",
            root / "app/llamakey.toml",
            8000,
            "/app",
        )

    def test_origins_tell_keywords_from_the_file(self, deployment: Deployment, root: Path) -> None:
        found = apply(deployment, root, workers=4)
        assert found.origin("workers") == Origin("llamakey_deploy(workers=...)", 0)
        assert found.origin("ready") == Origin("app/llamakey.toml", 6)
        assert found.origin("env.A") == Origin("app/llamakey.toml", 4)

    def test_another_runtime_leaves_what_does_not_belong_to_it(self, deployment: Deployment, root: Path) -> None:
        process = apply(deployment, root, runtime="process")
        assert (process.runtime, process.build, process.port) == ("process", None, None)
        docker = apply(process, root, runtime="docker")
        assert (docker.runtime, docker.build, docker.port) == ("docker", ".", 8000)

    def test_an_image_takes_the_place_of_a_build(self, deployment: Deployment, root: Path) -> None:
        found = apply(deployment, root, image="x:1", port=80)
        assert (found.image, found.build, found.port, found.workdir) == ("x:1", None, 80, None)
        assert apply(found, root, build=".").image is None

    def test_a_read_only_one_can_be_made_writable(self, deployment: Deployment, root: Path) -> None:
        frozen = apply(deployment, root, read_only=True, tmpfs=["/run"])
        assert (frozen.read_only, frozen.tmpfs) == (True, ("/run",))
        found = apply(frozen, root, read_only=False)
        assert (found.read_only, found.tmpfs) == (False, deployment.tmpfs)
        assert not apply(frozen, root, runtime="process").read_only

    def test_another_name_changes_the_id(self, deployment: Deployment, root: Path) -> None:
        assert apply(deployment, root, name="b").id == "app/llamakey.toml::b"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"worker": 4}, r'unknown key "worker"; the nearest valid one is "workers"'),
            ({"build_args": {}}, r'unknown key "build_args"'),
            ({"workers": "4"}, r'workers: expected a whole number, found "4"; write 4 without quotes'),
            ({"env": {"A": 4}}, r'env\.A: expected a string, found 4; write "4"'),
            ({"request": {"path": "ask"}}, r"request\.path: .* begins with"),
            ({"key": "file"}, r'key: .*write "file:'),
            ({"runtime": "process", "image": "x"}, r"image does not belong to runtime"),
            ({"env": {"OPENAI_API_KEY": ""}}, r'env\.OPENAI_API_KEY: .*key = "none"'),
            ({"dockerfile": "nope"}, r"there is no Dockerfile at app/nope"),
        ],
    )
    def test_mistakes_name_the_keyword(self, deployment: Deployment, root: Path, fields: dict, message: str) -> None:
        with pytest.raises(SpecError, match=f"^{message}") as caught:
            apply(deployment, root, **fields)
        assert caught.value.origin is None
        assert str(caught.value) == caught.value.message


class TestTarget:
    def test_a_folder_with_a_file(self, root: Path) -> None:
        for way in ("app", "app/", "./app", Path("app"), root / "app", "app/llamakey.toml", "app/llamakey.toml::api"):
            assert target(way, root, Defaults(), workers=7).workers == 7

    def test_a_folder_with_a_dockerfile(self, root: Path) -> None:
        (root / "app/llamakey.toml").unlink()
        found = target("app", root, Defaults(), request={"path": "/"})
        assert (found.id, found.port, len(found.requests)) == ("app/Dockerfile::app", 8000, 1)
        assert target("app/Dockerfile", root, Defaults()).id == "app/Dockerfile::app"

    def test_a_folder_with_keywords_alone(self, root: Path) -> None:
        (root / "bare").mkdir()
        found = target("bare", root, Defaults(), command=["x"], name="n")
        assert (found.id, found.runtime, found.folder, found.source) == ("bare::n", "process", root / "bare", None)
        assert found.origin("command") == Origin("llamakey_deploy(command=...)", 0)
        with pytest.raises(SpecError, match=r"^nothing says how to run this: bare holds no Dockerfile") as caught:
            target("bare", root, Defaults())
        assert caught.value.origin is None
        assert str(caught.value).endswith(f"; paths start at pytest's root folder, {root}")

    @pytest.mark.parametrize(
        "image",
        ["app:1", "registry:5000/team/app", "team/app:1@sha256:0123456789abcdef", "sha256:0123456789abcdef", "python"],
    )
    def test_an_image(self, root: Path, image: str) -> None:
        found = target(image, root, Defaults(), port=80)
        assert (found.runtime, found.image, found.build, found.folder, found.port) == ("docker", image, None, root, 80)

    def test_a_compose_file(self, root: Path) -> None:
        (root / "app/compose.yaml").write_text("services: {web: {build: .}, api: {build: ., scale: 3}}\n")
        found = target("app/compose.yaml", root, Defaults(), service="api")
        assert (found.service, found.replicas) == ("api", 3)

    def test_several_deployments_ask_for_a_name(self, root: Path) -> None:
        (root / "app/llamakey.toml").write_text(f'{TOML}\n[[deployment]]\nname = "worker"\n')
        with pytest.raises(
            SpecError, match=r"holds 2 deployments; .*\(app/llamakey.toml::api, app/llamakey.toml::worker"
        ):
            target("app", root, Defaults())
        assert target("app/llamakey.toml::worker", root, Defaults()).name == "worker"
        with pytest.raises(SpecError, match=r'no deployment called "wroker"; the nearest valid one is "worker"'):
            target("app/llamakey.toml::wroker", root, Defaults())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "./ap",
                "neither a folder nor a deployment file at ./ap; the nearest there is app; paths start at",
            ),
            (Path("ap"), "at ap; the nearest there is app"),
            ("app/Dockerfil", "the nearest there is Dockerfile"),
            ("/nowhere/at/all", "neither a folder"),
            ("no image", "neither a folder"),
        ],
    )
    def test_nothing_of_that_name(self, root: Path, text: str | Path, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            target(text, root, Defaults())

    def test_a_mistake_in_the_file_keeps_its_line(self, root: Path) -> None:
        (root / "app/llamakey.toml").write_text(f"{TOML}prot = 1\n")
        with pytest.raises(SpecError, match=r"^app/llamakey.toml:7: "):
            target("app", root, Defaults())
