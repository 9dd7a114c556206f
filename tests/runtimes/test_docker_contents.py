"""The keys that an image carries: in its variables, its history and its files, and none in an image that has none."""

from __future__ import annotations

import json

import pytest

from pytest_llamakey.facts import Place
from pytest_llamakey.runtimes.docker_contents import SUSPECTS, KeyedLine, keyed_lines
from pytest_llamakey.secrecy.keys import DECOY, Secrets

REAL = "sk-proj-q8Zk3LmP0vT7wYb2Nd5RfX9c"
OTHER = "sk-svcacct-Lw93kd8DkL20skdjaGk29dkLq03j"
AZURE = "9f3c2b7d8e1a4c6f9b2d7e8a1c4f6b3d"
SECRETS = Secrets("sk-llamakey-1", b"s" * 32, b"t" * 16)
FOREIGN = SECRETS.sight(REAL)


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("/app/.env", f"A=1\n\nexport OPENAI_API_KEY='{REAL}' # mine\n", [(3, "OPENAI_API_KEY")]),
        ("/app/.env", f"# OPENAI_API_KEY={REAL}\n", [(1, "OPENAI_API_KEY")]),
        ("/app/.env", f"OPENAI_API_KEY={DECOY}\nMAX_TOKENS=4096\n", [(1, "OPENAI_API_KEY")]),
        ("/app/.env.example", "OPENAI_API_KEY=sk-your-key-here\nHF_TOKEN=\n", []),
        ("/app/app.py", f'import os\nllm = OpenAI(api_key="{REAL}")\n', [(2, "api_key")]),
        ("/app/app.py", 'OpenAI(api_key=os.environ["OPENAI_API_KEY"])\n', []),
        ("/app/tests/test_app.py", 'monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1234567890abcdef1234")\n', []),
        ("/app/README.md", "export OPENAI_API_KEY=sk-baked-into-the-image\n", []),
        ("/app/conf.yaml", f"llm:\n  openai_api_key: {AZURE}\n", [(2, "openai_api_key")]),
        ("/app/conf.yaml", "llm:\n  openai_api_key: ${OPENAI_API_KEY}\n", []),
        ("/app/openai.key", f"\n{REAL}\n", [(2, "")]),
        ("/app/page.html", "<div id='sk-container-id-1'></div>", []),
    ],
)
def test_lines_with_keys(path, text, lines):
    assert keyed_lines(path, text.encode()) == tuple(KeyedLine(path, line, name) for line, name in lines)


def test_text_of_other_encodings():
    line = KeyedLine("/.env", 1, "OPENAI_API_KEY")
    assert keyed_lines("/.env", f"\ufeffOPENAI_API_KEY={REAL}".encode("utf-16-le")) == (line,)
    assert keyed_lines("/.env", f"OPENAI_API_KEY={REAL}\n\xff".encode("latin-1")) == (line,)


def test_the_scouts_script_looks_where_the_app_is(tmp_path):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages/a.txt").write_text(REAL)
    (tmp_path / "a.txt").write_text(REAL)
    (tmp_path / "b.txt").write_text("nothing")
    (tmp_path / "c.bin").write_bytes(b"\0" + REAL.encode())
    (tmp_path / "link").symlink_to("a.txt")
    (tmp_path / ".env").write_bytes(f"\ufeffMY_KEY={REAL}".encode("utf-16-le"))
    world: dict[str, object] = {}
    exec(SUSPECTS.replace('os.walk("/")', f"os.walk({str(tmp_path)!r})"), world)  # noqa: S102 - run as inside of an image
    assert world["suspects"](str(tmp_path)) == [f"{tmp_path}/.env", f"{tmp_path}/a.txt"]


@pytest.mark.engine
def test_a_healthy_image_carries_nothing(app_folder, start):
    folder = app_folder(
        "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D OPENAI_API_KEY=\nARG OPENAI_API_KEY\nRUN true # task-1\n"
        'CMD ["sleep", "60"]',
        {"app.py": 'OpenAI(api_key=os.environ["OPENAI_API_KEY"])', ".env.example": "OPENAI_API_KEY=your-key-here\n"},
    )
    contents = start(folder).contents(SECRETS)
    assert (contents.environment, contents.files, contents.history, contents.lines) == ({}, {}, (), ())


@pytest.mark.engine
def test_an_image_with_keys(app_folder, start, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = app_folder(
        f"ARG OPENAI_API_KEY\nENV AZURE_OPENAI_API_KEY={AZURE} LLM_API_KEY=EMPTY\nRUN true\n"
        f'RUN echo "OPENAI_API_KEY={OTHER}" > /home/prod.env\n'
        'CMD ["sleep", "60"]',
        {"sub/.env": f"X=1\nOPENAI_API_KEY={OTHER}\n", "app.py": f'\nOpenAI(api_key="{REAL}")\n'},
    )
    from docker_apps import PYTHON_IMAGE

    running = start(folder, build_args={"PYTHON_IMAGE": PYTHON_IMAGE, "OPENAI_API_KEY": REAL})
    contents = running.contents(SECRETS)
    assert contents.environment == {"AZURE_OPENAI_API_KEY": SECRETS.sight(AZURE), "LLM_API_KEY": SECRETS.sight("EMPTY")}
    assert contents.files == {
        "/app/app.py": FOREIGN,
        "/app/sub/.env": SECRETS.sight(DECOY),
        "/home/prod.env": SECRETS.sight(OTHER),
    }
    assert Place("/app/app.py", 2, f'OpenAI(api_key="{FOREIGN.shown}")') in contents.lines
    assert Place("/app/sub/.env", 2, "OPENAI_API_KEY=<key of your .env>") in contents.lines
    steps = "\n".join(contents.history)
    assert f"AZURE_OPENAI_API_KEY={SECRETS.sight(AZURE).shown}" in steps
    assert f"OPENAI_API_KEY={FOREIGN.shown} " in steps
    assert f'echo "OPENAI_API_KEY={SECRETS.sight(OTHER).shown}"' in steps
    # Neither what is told nor what is remembered shows any of it, and the memory serves the next run.
    (remembered,) = (tmp_path / "cache/pytest-llamakey").rglob("*.json")
    for key in (REAL, OTHER, AZURE):
        assert key not in str(contents)
        assert key not in remembered.read_text()
    assert {one["path"] for one in json.loads(remembered.read_text())["keyed"]} == set(contents.files)
    again = Secrets("sk-llamakey-2", b"s" * 32, b"u" * 16)
    assert running.contents(again).files["/app/app.py"] == again.sight(REAL) != FOREIGN
