from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.spec import dockerfile, other
from pytest_llamakey.spec.dockerfile_facts import Copied, Instruction, Port, Stage, Taken, Variable, read
from pytest_llamakey.spec.model import Defaults, Origin, SpecError

if TYPE_CHECKING:
    from pathlib import Path

REAL = """\
# syntax=docker/dockerfile:1.4
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE} AS build
ARG TOKEN
ENV BUILD_ONLY=1
RUN --mount=type=cache,target=/root/.cache \\
    # a comment in between

    pip install x && \\
    echo "FROM nowhere"

FROM --platform=linux/amd64 $PYTHON_IMAGE as final
ARG PORT=8000
ENV A=1 B="two words" \\
    C='$A' D=$A-${B:-x}-${NOPE:-d}
ENV OLD style value
ENV OPENAI_API_KEY=${OPENAI_API_KEY}
RUN <<EOF
EXPOSE 1
USER root
EOF
COPY <<"ONE" <<-TWO /etc/
EXPOSE 2
ONE
\tENV A=3
\tTWO
RUN echo $((1<<2)) <<<EOF
WORKDIR /srv
copy --from=build --chown=1:1 /x y/
ADD ["a b", "c"]
WORKDIR app
USER app
EXPOSE ${PORT} 9000-9001/tcp 53/udp $UNKNOWN
ENTRYPOINT ["tini", "--"]
CMD gunicorn \\
  app:app \\
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "Dockerfile"


def test_a_real_file(path: Path) -> None:
    path.write_text(REAL)
    facts = read(path, shown="app/Dockerfile")
    assert facts.file == "app/Dockerfile"
    assert facts.stages == (Stage("python:3.12-slim", "build", 3), Stage("python:3.12-slim", "final", 12))
    assert facts.args == (
        Variable("PYTHON_IMAGE", "python:3.12-slim", "python:3.12-slim", 2),
        Variable("TOKEN", "", "", 4),
        Variable("PORT", "8000", "8000", 13),
    )
    assert facts.env == {
        "A": Variable("A", "1", "1", 14),
        "B": Variable("B", "two words", '"two words"', 14),
        "C": Variable("C", "$A", "'$A'", 15),
        "D": Variable("D", "-x-d", "$A-${B:-x}-${NOPE:-d}", 15),
        "OLD": Variable("OLD", "style value", "style value", 16),
        "OPENAI_API_KEY": Variable("OPENAI_API_KEY", "", "${OPENAI_API_KEY}", 17),
    }
    assert facts.workdir == "/srv/app"
    assert facts.copies == (
        Copied(("<<ONE", "<<-TWO"), "/etc/", "", 22),
        Copied(("/x",), "y/", "build", 29),
        Copied(("a b",), "c", "", 30),
    )
    assert facts.user == Instruction("app", 32)
    assert facts.ports == (Port(8000, 33), Port(9000, 33), Port(9001, 33))
    assert facts.entrypoint == Instruction('["tini", "--"]', 34)
    assert facts.cmd is not None
    assert (facts.cmd.text.split(), facts.cmd.line) == (["gunicorn", "app:app"], 35)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$X", "x"),
        ("${X}", "x"),
        ("a${X}b", "axb"),
        ("${X:-d}", "x"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${NONE-d}", "d"),
        ("${X:+alt}", "alt"),
        ("${NONE:+alt}", ""),
        ("$NONE", ""),
        (r"\$X", "$X"),
        ('"$X y"', "x y"),
        ("'$X'", "$X"),
    ],
)
def test_variables_are_filled_in(path: Path, written: str, value: str) -> None:
    path.write_text(f"FROM x\nENV X=x EMPTY=\nENV V={written}\n")
    assert read(path).env["V"].value == value


def test_outer_args_reach_a_stage_only_where_it_asks_for_them(path: Path) -> None:
    path.write_text("ARG A=1\nARG B=2\nFROM x:$A\nARG A\nENV GOT=$A-$B\n")
    facts = read(path, build_args={"A": "9"})
    assert facts.stages[0].base == "x:9"
    assert facts.env["GOT"].value == "9-"


@pytest.mark.parametrize("reference", ["base", "BASE", "0"])
def test_a_stage_goes_on_from_the_stage_below(path: Path, reference: str) -> None:
    path.write_text(f"FROM x AS Base\nENV A=1\nUSER u\nFROM y AS other\nENV B=1\nFROM {reference}\nENV C=$A\n")
    facts = read(path)
    assert {name: one.value for name, one in facts.env.items()} == {"A": "1", "C": "1"}
    assert facts.user == Instruction("u", 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# only a comment",
        "FROM x\nRUN <<EOF\nnever ended\n",
        "FROM x\\\n",
        "CMD\n",
        "FROM x\r\nCMD a\r\n",
        "\ufeffFROM x\n",
    ],
)
def test_odd_files_do_no_harm(path: Path, text: str) -> None:
    path.write_bytes(text.encode())
    facts = read(path)
    assert [stage.base for stage in facts.stages] == (["x"] if "FROM" in text else [])


def test_an_instruction_that_no_program_could_be_given_is_told_and_not_parsed(path: Path) -> None:
    path.write_text("FROM x\n\n" + "RUN \\\n" * 50_000)
    with pytest.raises(SpecError, match=r"^D:3: this instruction is longer than 128 KiB.*COPY"):
        read(path, shown="D")


def test_a_long_heredoc_is_no_long_instruction(path: Path) -> None:
    path.write_text("FROM x\nCOPY <<EOF /data\n" + "0123456789\n" * 30_000 + "EOF\nEXPOSE 8000\n")
    assert read(path).ports == (Port(8000, 30_004),)


def test_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(SpecError, match="Dockerfile: cannot read the Dockerfile: No such file"):
        read(path)
    path.write_bytes(b"FROM x\n# \xff\n")
    with pytest.raises(SpecError, match="D:2: the Dockerfile is not UTF-8"):
        read(path, shown="D")


class TestNamedOnTheCommandLine:
    def test_dockerfile(self, tmp_path: Path) -> None:
        path = tmp_path / "web/Dockerfile.prod"
        path.parent.mkdir()
        path.write_text("FROM x\nWORKDIR /app\nEXPOSE 80\n")
        found = dockerfile.deployment_of(path, tmp_path, Defaults({"A": "1"}, ("keyed",)))
        assert found.id == "web/Dockerfile.prod::web"
        assert (found.runtime, found.build, found.dockerfile) == ("docker", ".", "Dockerfile.prod")
        assert (found.port, found.workdir, found.requests) == (80, "/app", ())
        assert (found.build_args, found.checks) == ({"A": "1"}, ("keyed",))
        assert found.origin("dockerfile") == Origin("web/Dockerfile.prod", 0)

    def test_dockerfile_with_several_ports_is_no_mistake(self, path: Path, tmp_path: Path) -> None:
        path.write_text("FROM x\nEXPOSE 80 81\n")
        assert dockerfile.deployment_of(path, tmp_path, Defaults()).port is None

    def test_dockerfile_that_is_not_there(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"^Dockerfile: there is no Dockerfile"):
            dockerfile.deployment_of(path, tmp_path, Defaults())

    @pytest.mark.parametrize(
        ("name", "runtime", "field", "value"),
        [
            ("compose.yaml", "compose", "compose", ("compose.yaml",)),
            ("docker-compose.prod.yml", "compose", "compose", ("docker-compose.prod.yml",)),
            ("deploy.yaml", "kubernetes", "manifests", ("deploy.yaml",)),
            ("app.service", "systemd", "unit", "app.service"),
        ],
    )
    def test_other_files(self, tmp_path: Path, name: str, runtime: str, field: str, value: object) -> None:
        text = "[Service]\nExecStart=/bin/app\n" if runtime == "systemd" else "services: {web: {build: .}}\n"
        (tmp_path / name).write_text(text)
        found = other.deployment_of(tmp_path / name, tmp_path, Defaults())
        assert (found.runtime, getattr(found, field)) == (runtime, value)
        assert found.id == f"{name}::{tmp_path.name}"

    def test_files_of_no_known_kind(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"^README.md: this file is no Dockerfile"):
            other.deployment_of(tmp_path / "README.md", tmp_path, Defaults())
        with pytest.raises(SpecError, match=r"^a.yaml: there is no such file"):
            other.deployment_of(tmp_path / "a.yaml", tmp_path, Defaults())


def test_what_stages_take_files_of(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "ARG UV=0.5\nFROM python AS build\nCOPY --chown=a --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/\n"
        "FROM scratch\nARG UV\nCOPY --from=0 /a /\nCOPY b /\n"
        "RUN --mount=type=bind,from=uv:$UV,target=/x --mount=type=cache,target=/y --network=none true\n"
    )
    facts = read(tmp_path / "Dockerfile")
    assert facts.taken == (Taken("ghcr.io/astral-sh/uv:0.5", 0), Taken("0", 1), Taken("uv:0.5", 1))


@pytest.mark.parametrize(
    ("head", "syntax"),
    [
        ("# escape=`\n#SYNTAX = docker/dockerfile:1\n", "docker/dockerfile:1"),
        ("# what it is\n# syntax=docker/dockerfile:1\n", ""),
        ("\n# syntax=docker/dockerfile:1\n", ""),
    ],
)
def test_the_image_that_understands_the_file(tmp_path: Path, head: str, syntax: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"{head}FROM python\n")
    assert read(tmp_path / "Dockerfile").syntax == syntax
