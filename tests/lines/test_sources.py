"""Which lines of a Dockerfile and a ``.dockerignore`` are told, on which line exactly, and that no key is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.facts import KeySight, SourceLine
from pytest_llamakey.lines.sources import Sources, sources
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.spec.model import Deployment, KeyDelivery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REAL = "sk-proj-q8Zk3LmP0vT7wYb2Nd5RfX9c"
SECRETS = Secrets("sk-llamakey-1", b"s" * 32, b"t" * 16)
FOREIGN = SECRETS.sight(REAL)


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Sources]:
    """``told("FROM x\\n…", files, key=…)``: what is read of ``web/Dockerfile`` under the root."""

    def read(dockerfile: str, files: dict[str, str] | None = None, args: dict[str, str] | None = None, **fields):
        for name, text in {"Dockerfile": dockerfile, **(files or {})}.items():
            path = tmp_path / "web" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        plain = Deployment(id="t", name="t", folder=tmp_path / "web", source=None, runtime="docker", build=".")
        return sources(replace(plain, **fields), tmp_path, SECRETS, args or {})

    return read


def of(kind: str, found: Sources) -> list[SourceLine]:
    return [line for line in found.lines if line.kind == kind]


def test_a_healthy_dockerfile_says_only_how_it_starts(told):
    found = told(
        "ARG PYTHON_IMAGE=python:3.12-slim\nFROM ${PYTHON_IMAGE}\n"
        "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D PORT=80 LLM_MAX_TOKENS=512\n"
        "ARG VERSION=1\nRUN --mount=type=secret,id=pip_conf pip install x\n"
        'COPY . .\nUSER app\nENTRYPOINT ["tini", "--"]\nCMD ["gunicorn", "app:app"]\n',
        {"app.py": "", ".env.example": "OPENAI_API_KEY=sk-your-key", "secrets.py": ""},
    )
    assert [(line.kind, str(line.place), line.name) for line in found.lines] == [
        ("user", "web/Dockerfile:7", "app"),
        ("command", "web/Dockerfile:8", '["tini", "--"]'),
        ("command", "web/Dockerfile:9", '["gunicorn", "app:app"]'),
    ]
    assert found.build_args == ()


def test_env_with_its_own_line_in_a_long_instruction(told):
    found = told(
        f'FROM x\nENV PORT="80 OPENAI_API_KEY=no" \\\n    # OPENAI_API_KEY=neither\n\n'
        f'    OPENAI_API_KEY="{REAL}" \\\n    AZURE_OPENAI_API_KEY=${{LATER}}\n'
    )
    first, second = of("env", found)
    assert (first.name, str(first.place), first.key, first.interpolates) == (
        "OPENAI_API_KEY",
        "web/Dockerfile:5",
        FOREIGN,
        (),
    )
    assert first.place.text == f'OPENAI_API_KEY="{FOREIGN.shown}" \\'
    assert (str(second.place), second.key, second.interpolates) == ("web/Dockerfile:6", None, ("LATER",))


@pytest.mark.parametrize(
    ("written", "key", "interpolates"),
    [
        ("OPENAI_API_KEY=", KeySight("empty"), ()),
        ("OPENAI_API_KEY=${OPENAI_API_KEY}", None, ("OPENAI_API_KEY",)),
        ("OPENAI_API_KEY=$A$B", None, ("A", "B")),
        (f"OPENAI_API_KEY=${{A:-{REAL}}}", FOREIGN, ("A",)),
        (f"OPENAI_API_KEY {REAL}", FOREIGN, ()),
        ("APP_CREDENTIAL=$OPENAI_API_KEY", None, ("OPENAI_API_KEY",)),
        (f"HARMLESS={REAL}", FOREIGN, ()),
    ],
)
def test_values_of_env(told, written, key, interpolates):
    (line,) = of("env", told(f"FROM x\nENV {written}\n"))
    assert (line.key, line.interpolates) == (key, interpolates)
    assert REAL not in line.place.text


def test_the_last_env_counts_and_one_that_leaves_a_key_behind(told):
    found = told(f"FROM x\nENV OPENAI_API_KEY=$A\nENV OPENAI_API_KEY={REAL}\nENV OPENAI_API_KEY=\n")
    assert [line.place.line for line in of("env", found)] == [3, 4]


def test_the_delivered_name_is_a_keys_whatever_it_is(told):
    found = told("FROM x\nENV CREDENTIAL=$X\n", key=(KeyDelivery("env", "CREDENTIAL"),))
    assert [line.name for line in of("env", found)] == ["CREDENTIAL"]


def test_arguments_and_which_of_them_are_given(told):
    dockerfile = "FROM x AS build\nARG OTHER=1 \\\n  OPENAI_API_KEY\nARG FEED\nENV OPENAI_API_KEY=$FEED\nFROM y\n"
    found = told(dockerfile, args={"OPENAI_API_KEY": REAL, "UNDECLARED": "1"})
    assert [(line.name, line.place.line, line.key) for line in of("arg", found)] == [("OPENAI_API_KEY", 3, None)]
    assert found.build_args == ("OPENAI_API_KEY",)
    assert of("env", found) == []  # a stage that is not the app's
    kept = told(dockerfile.removesuffix("FROM y\n"))
    assert [(line.name, line.place.line) for line in of("arg", kept)] == [("OPENAI_API_KEY", 3), ("FEED", 4)]


def test_build_secrets(told):
    (line,) = of(
        "secret-mount",
        told(
            "FROM x\nRUN --mount=type=cache,target=/c \\\n  --mount=type=secret,id=openai,env=K \\\n"
            "  --mount=type=secret,id=pip_conf true\n"
        ),
    )
    assert (line.name, str(line.place)) == ("openai", "web/Dockerfile:3")


def test_steps_with_a_key(told):
    (line,) = of(
        "run", told(f'FROM x\nRUN apt && \\\n  echo "OPENAI_API_KEY={REAL}" > .env\nRUN echo $OPENAI_API_KEY\n')
    )
    assert (str(line.place), line.key) == ("web/Dockerfile:3", FOREIGN)
    assert line.place.text == f'echo "OPENAI_API_KEY={FOREIGN.shown}" > .env'


@pytest.mark.parametrize(
    ("copy", "names"),
    [
        ("COPY . .", [".env", "conf/prod.env"]),
        ("COPY conf /app/conf/", ["conf/prod.env"]),
        ("COPY app.py \\\n  .env \\\n  ./", [".env"]),
        ("COPY .env* ./", [".env"]),
        ("ADD conf/*.env /", ["conf/prod.env"]),
        ("COPY app.py .", []),
        ("COPY --from=build . .", []),
        ("COPY openai.key /", ["openai.key"]),
    ],
)
def test_copies_of_what_holds_keys(told, copy, names):
    found = told(f"FROM x\n{copy}\n", {".env": "", "conf/prod.env": "", "app.py": "", ".env.example": ""})
    assert [line.name for line in of("copy", found)] == names


def test_a_copied_file_is_told_on_its_own_line(told):
    (line,) = of("copy", told("FROM x\nCOPY app.py \\\n  .env \\\n  ./\n", {".env": "", "app.py": ""}))
    assert (line.place.line, line.place.text) == (3, ".env \\")


@pytest.mark.parametrize(
    ("ignore", "told_lines"),
    [
        (".git\n.env\n", [(2, ".env")]),
        ("# .env\n\n*.env\n", [(3, "*.env")]),
        ("*\n!app.py\n", [(1, "*")]),
        (".env*\n!.env\n", []),
        ("**/.env\n", [(1, "**/.env")]),
        (".git\n", []),
    ],
)
def test_what_keeps_the_dotenv_out(told, ignore, told_lines):
    found = told("FROM x\nCOPY . .\n", {".dockerignore": ignore, ".env": ""})
    assert [(line.place.line, line.name) for line in of("ignored", found)] == told_lines
    assert all(line.place.file == "web/.dockerignore" for line in of("ignored", found))


def test_a_rule_for_a_file_that_is_not_there_keeps_nothing_out(told):
    assert not of("ignored", told("FROM x\nCOPY . .\n", {".dockerignore": ".env\n"}))


def test_the_ignore_file_of_one_dockerfile_goes_first(told):
    files = {"Dockerfile.dockerignore": "x\ny\nconf\n", ".dockerignore": ".env\n", "conf/.env": ""}
    found = told(
        "FROM x\nWORKDIR /app\nCOPY . .\n", files, key=(KeyDelivery("dotenv", "/app/conf/.env"),), workdir="/app"
    )
    assert [str(line.place) for line in of("ignored", found)] == ["web/Dockerfile.dockerignore:3"]
    assert of("copy", found) == []


def test_a_command_of_the_deployment_takes_the_place_of_cmd(told):
    found = told(f"FROM x\nENTRYPOINT env OPENAI_API_KEY={REAL} ./start\nCMD x\n", command=("y",))
    (line,) = of("command", found)
    assert line.name == f"env OPENAI_API_KEY={FOREIGN.shown} ./start"


@pytest.mark.parametrize("fields", [{"runtime": "process"}, {"image": "x", "build": None}])
def test_only_builds_are_read(told, fields):
    assert told("FROM x\nENV OPENAI_API_KEY=$X\n", **fields) == Sources()
