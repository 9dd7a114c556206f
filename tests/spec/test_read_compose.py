"""What is read of compose files, and on which lines it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.spec.complete import read_compose
from pytest_llamakey.spec.compose import Build, SecretUse
from pytest_llamakey.spec.compose_choice import delivered_by, under_test
from pytest_llamakey.spec.compose_values import Filled, default_of, filled, interpolated, literal_of
from pytest_llamakey.spec.model import Defaults, Deployment, KeyDelivery, Origin, SpecError
from pytest_llamakey.spec.other import deployment_of
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.spec.compose import ComposeFacts

FILE = """\
x-common: &common
  LOG_LEVEL: info
services:
  web:
    build:
      context: ./web
      dockerfile: Dockerfile.prod
    ports: ["127.0.0.1:8080:8000", {target: 9000}]
    environment:
      <<: *common
      OPENAI_API_KEY: ${OPENAI_KEY:-}
    secrets:
      - openai_key
      - {source: other, target: /etc/other}
    deploy: {replicas: 2}
  worker:
    image: app:1
    profiles: [jobs]
    env_file:
      - .env
      - {path: extra.env, required: false}
    environment:
      - OPENAI_API_KEY
      - MODEL=gpt-4o
secrets:
  openai_key: {file: ./key.txt}
"""


def read(folder: Path, *texts: str) -> ComposeFacts:
    names = ["compose.yaml", "compose.prod.yaml"][: len(texts)]
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text)
    return read_compose(folder, names, folder)


def at(line: int, file: str = "compose.yaml") -> Origin:
    return Origin(file, line)


def test_a_service_with_its_lines(tmp_path: Path) -> None:
    web = read(tmp_path, FILE).services["web"]
    assert web.origin == at(4)
    assert web.build is not None
    assert (web.build.context, web.build.dockerfile, web.build.origin) == ("./web", "Dockerfile.prod", at(5))
    assert (web.ports, web.replicas) == ((8000, 9000), 2)
    assert [(one.name, one.written, one.origin) for one in web.environment.values()] == [
        ("LOG_LEVEL", "info", at(2)),
        ("OPENAI_API_KEY", "${OPENAI_KEY:-}", at(11)),
    ]
    assert web.secrets == (
        SecretUse("openai_key", "/run/secrets/openai_key", at(13)),
        SecretUse("other", "/etc/other", at(14)),
    )


def test_the_list_forms(tmp_path: Path) -> None:
    facts = read(tmp_path, FILE)
    worker = facts.services["worker"]
    assert [(one.name, one.written, one.origin) for one in worker.environment.values()] == [
        ("OPENAI_API_KEY", None, at(23)),
        ("MODEL", "gpt-4o", at(24)),
    ]
    assert [(one.text, one.origin) for one in worker.env_files] == [(".env", at(20)), ("extra.env", at(21))]
    assert worker.profiles == ("jobs",)
    assert facts.secrets["openai_key"].text == "./key.txt"


def test_a_second_file_goes_over_the_first(tmp_path: Path) -> None:
    over = "services:\n  web:\n    environment:\n      OPENAI_API_KEY: ${OPENAI_API_KEY}\n    ports: !reset []\n"
    web = read(tmp_path, FILE, over).services["web"]
    assert web.environment["OPENAI_API_KEY"].origin == at(4, "compose.prod.yaml")
    assert web.environment["LOG_LEVEL"].origin == at(2)
    assert web.origin == at(4)


def test_extends_and_include(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("services:\n  base:\n    build: .\n    environment: {A: '1', B: x}\n")
    (tmp_path / "more.yaml").write_text("services:\n  redis: {image: redis}\n")
    facts = read(
        tmp_path,
        "include: [more.yaml]\nservices:\n  web:\n    extends: {file: base.yaml, service: base}\n"
        "    environment: {B: y}\n  twin:\n    extends: web\n",
    )
    assert list(facts.services) == ["redis", "web", "twin"]
    for name in ("web", "twin"):
        found = facts.services[name]
        assert found.build is not None
        assert [(one.name, one.written, one.origin.file) for one in found.environment.values()] == [
            ("A", "1", "base.yaml"),
            ("B", "y", "compose.yaml"),
        ]


@pytest.mark.parametrize(
    ("written", "names", "default", "literal"),
    [
        ("${A}", ("A",), "", None),
        ("$A-${B:-sk-default}", ("A", "B"), "sk-default", None),
        ("${A:?set A}", ("A",), "", None),
        ("${A:-${B:-sk-inner}}/$C", ("A", "B", "C"), "sk-inner", None),
        ("${A:?not $B}", ("A",), "", None),
        ("pa$$word", (), "", "pa$word"),
        ("${A b}", (), "", "${A b}"),
        ("sk-plain", (), "", "sk-plain"),
    ],
)
def test_interpolation(written: str, names: tuple[str, ...], default: str, literal: str | None) -> None:
    assert (interpolated(written), default_of(written), literal_of(written)) == (names, default, literal)


BUILT, PUBLISHED, BARE = "{build: .}", "{image: x, ports: ['80:80']}", "{image: x}"


@pytest.mark.parametrize(
    ("services", "wanted"),
    [
        ({"web": BARE}, "web"),
        ({"web": BUILT, "db": PUBLISHED}, "web"),
        ({"web": "{build: ., ports: ['80:80']}", "worker": BUILT}, "web"),
        ({"web": PUBLISHED, "db": BARE}, "web"),
    ],
)
def test_the_only_service_that_can_be_meant(tmp_path: Path, services: dict[str, str], wanted: str) -> None:
    text = "services:\n" + "".join(f"  {name}: {given}\n" for name, given in services.items())
    assert under_test(read(tmp_path, text), None, None).name == wanted


def test_several_candidates_are_named(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {api: {build: a}, worker: {build: b}, db: {image: x}}\n")
    told = r'^compose.yaml: which service is under test\? Add service = "api" \(candidates: api, worker\)'
    with pytest.raises(SpecError, match=told):
        deployment_of(tmp_path / "compose.yaml", tmp_path, Defaults())


def toml(folder: Path, text: str) -> Deployment:
    (folder / "compose.yaml").write_text(FILE)
    (folder / "llamakey.toml").write_text(text)
    (only,) = read_deployments(folder / "llamakey.toml", folder, Defaults())
    return only


def test_a_deployment_takes_what_the_file_says(tmp_path: Path) -> None:
    found = toml(tmp_path, "[[deployment]]\ncompose = 'compose.yaml'\nport = 8000\n")
    assert (found.runtime, found.compose, found.service, found.replicas) == ("compose", ("compose.yaml",), "web", 2)
    assert toml(tmp_path, "[[deployment]]\nservice = 'worker'\nreplicas = 3\n").replicas == 3


WEB = "services:\n  web:\n    build: .\n"


@pytest.mark.parametrize(
    ("given", "files", "key", "line"),
    [
        ("environment: [OPENAI_API_KEY]", {".env": "OPENAI_API_KEY=x"}, KeyDelivery("env", "OPENAI_API_KEY"), None),
        ("env_file: .env", {".env": "A=1\nOPENAI_API_KEY=x"}, KeyDelivery("dotenv", ".env"), 4),
        ("env_file: .env", {}, KeyDelivery("dotenv", ".env"), 4),
        ("env_file: settings.env", {"settings.env": "A=1"}, KeyDelivery("env", "OPENAI_API_KEY"), None),
        ("env_file: [{path: a.env, required: false}]", {}, KeyDelivery("env", "OPENAI_API_KEY"), None),
        ("environment: {OPENAI_API_KEY: '${K}'}", {".env": "K=x"}, KeyDelivery("dotenv", ".env", "K"), 4),
        ("environment: {OPENAI_API_KEY: '${K}'}", {}, KeyDelivery("env", "OPENAI_API_KEY"), None),
        ("secrets: [db, openai_key]", {}, KeyDelivery("file", "./key.txt"), 4),
    ],
)
def test_how_the_key_comes(
    tmp_path: Path, given: str, files: dict[str, str], key: KeyDelivery, line: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    secrets = "secrets:\n  openai_key: {file: ./key.txt}\n  db: {file: ./db.txt}\n"
    (tmp_path / "compose.yaml").write_text(f"{WEB}    {given}\n{secrets}")
    found = deployment_of(tmp_path / "compose.yaml", tmp_path, Defaults())
    assert found.key == (key,)
    assert found.origins.get("key") == (None if line is None else at(line))


def test_what_the_user_says_goes_over_it(tmp_path: Path) -> None:
    assert toml(tmp_path, "[[deployment]]\nservice = 'worker'\nkey = 'none'\n").key == (KeyDelivery("none"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("service = 'wbe'", r'llamakey.toml:2: compose.yaml has no service "wbe"; it has web, worker'),
        (
            "service = 'web'\nrequest = {path = '/ask'}",
            r"add port = 8000 \(compose.yaml:4: web publishes 8000 and 9000",
        ),
        ("compose = ['compose.yaml', 'prod.yaml']", r"llamakey.toml:2: compose: there is no file at prod.yaml"),
        ("service = 'web'\nservices = {redis = {image = 'redis'}}", r"llamakey.toml:3: services does not belong"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        toml(tmp_path, f"[[deployment]]\n{text}\n")


def test_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^compose.yaml:3: not valid YAML"):
        read(tmp_path, "services:\n  web: [\n")


def test_a_service_extends_others_of_its_own_file_by_name(tmp_path: Path) -> None:
    text = """\
services:
  base: {image: app:1, environment: [OPENAI_API_KEY]}
  middle: {extends: {file: other.yaml, service: shared}}
  web: {extends: {file: ./compose.yaml, service: middle}}
"""
    (tmp_path / "other.yaml").write_text("services: {shared: {extends: {file: compose.yaml, service: base}}}")
    web = read(tmp_path, text).services["web"]
    assert (web.image, list(web.environment), web.origin) == ("app:1", ["OPENAI_API_KEY"], at(4))


def test_a_circle_of_extends_is_told_with_its_line(tmp_path: Path) -> None:
    text = "services:\n  a: {image: x}\n  b:\n    extends: c\n  c:\n    extends: {file: compose.yaml, service: b}\n"
    with pytest.raises(SpecError, match=r"compose.yaml:6: services extend one another in a circle \(b → c → b\)"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("written", "filled_in", "missing", "blank"),
    [
        ("redis:${TAG}-$EMPTY", "redis:7-", (), ()),
        ("${EMPTY:-one} ${EMPTY-two} ${NONE-three}", "one  three", (), ()),
        ("${TAG:+with} ${EMPTY:+without} ${EMPTY+there}", "with  there", (), ()),
        ("$NONE/${NONE:?set it}/${EMPTY:?set it}$$TAG", "//$TAG", ("NONE", "EMPTY"), ("NONE",)),
        ("${NONE:-${ALSO:-docker.io}/app:${TAG}}!", "docker.io/app:7!", (), ()),
        ("${NONE:-${ALSO:?set it}$EVEN}${TAG:+${TAG}-${ALSO}}", "7-", ("ALSO",), ("EVEN", "ALSO")),
        ("${TAG:-${ALSO:?set it}}", "7", (), ()),
        ("${NONE:-a$${TAG}}", "a${TAG}", (), ()),
        ("${NONE:-open", "${NONE:-open", (), ()),
        ("repo/app${NONE}", "repo/app", (), ("NONE",)),
    ],
)
def test_values_are_filled_in(written: str, filled_in: str, missing: tuple[str, ...], blank: tuple[str, ...]) -> None:
    assert filled(written, {"TAG": "7", "EMPTY": ""}) == Filled(filled_in, missing, blank)


@pytest.mark.parametrize(("ends", "names"), [("", ()), ("}" * 5000, ("A",))])
def test_defaults_without_end_are_text(ends: str, names: tuple[str, ...]) -> None:
    assert interpolated("${A:-" * 5000 + ends) == names
    assert filled("${A:-" * 5000 + ends, {}).text.startswith("${A:-" * 4000)


@pytest.mark.parametrize("args", ["{TAG: 3, KEY: }", '["TAG=3", KEY]'])
def test_what_a_build_is_given(tmp_path: Path, args: str) -> None:
    facts = read(tmp_path, f"services:\n  web:\n    build: {{context: ., args: {args}, target: app}}\n")
    assert facts.services["web"].build == Build(".", "Dockerfile", at(3), {"TAG": "3", "KEY": None}, "app")
    facts = read(tmp_path, "services:\n  web:\n    build: {dockerfile_inline: FROM scratch}\n")
    assert facts.services["web"].build == Build(".", "Dockerfile", at(3), inline=True)


@pytest.mark.parametrize("line", ["environment: [OPENAI_API_KEY]", "env_file: .env"])
def test_an_env_file_that_is_no_utf_8_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    facts = read(tmp_path, f"services:\n  web:\n    image: x\n    {line}\n")
    (tmp_path / ".env").write_bytes(b"A=1\nNAME=caf\xe9\n")
    with pytest.raises(SpecError, match=r"^\.env:2: a \.env file is UTF-8 text.*save the file as UTF-8$"):
        delivered_by(facts, facts.services["web"], tmp_path)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_API_KEY=1\n")
    found = delivered_by(facts, facts.services["web"], tmp_path)
    assert (found and found[0].as_written) == ("dotenv:.env:OPENAI_API_KEY" if "file" in line else None)


@pytest.mark.parametrize("written", ["{uv: 'docker-image://uv:1'}", "['uv=docker-image://uv:1']"])
def test_names_that_a_dockerfile_has_from_the_compose_file(tmp_path: Path, written: str) -> None:
    facts = read(tmp_path, f"services:\n  web:\n    build: {{additional_contexts: {written}}}\n")
    assert facts.services["web"].build == Build(".", "Dockerfile", at(3), contexts={"uv": "docker-image://uv:1"})
