from __future__ import annotations

from dataclasses import replace
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.spec.model import (
    ALL_CHECKS,
    CAUSES,
    DEFAULT_CHECKS,
    CeleryTask,
    CommandRequest,
    Defaults,
    Deployment,
    HttpRequest,
    KeyDelivery,
    Origin,
    Ready,
    Service,
    SpecError,
    WebSocketRequest,
)
from pytest_llamakey.spec.toml import deployments_using, read_defaults, read_deployments

if TYPE_CHECKING:
    from pathlib import Path

PROCESS = '[[deployment]]\ncommand = ["x"]\n'


def read(
    root: Path, text: str, name: str = "app/llamakey.toml", defaults: Defaults | None = None
) -> tuple[Deployment, ...]:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return read_deployments(path, root, defaults or Defaults())


def one(root: Path, text: str) -> Deployment:
    (found,) = read(root, text)
    return found


def fails(root: Path, text: str, name: str = "app/llamakey.toml") -> SpecError:
    with pytest.raises(SpecError) as caught:
        read(root, text, name)
    return caught.value


def test_defaults(tmp_path: Path) -> None:
    found = one(tmp_path, PROCESS)
    assert found == Deployment(
        id="app/llamakey.toml::app",
        name="app",
        folder=tmp_path / "app",
        source=tmp_path / "app/llamakey.toml",
        runtime="process",
        command=("x",),
        origins={"deployment": Origin("app/llamakey.toml", 1), "command": Origin("app/llamakey.toml", 2)},
    )
    assert found.origin("port") == Origin("app/llamakey.toml", 1)
    assert found.key == (KeyDelivery("env", "OPENAI_API_KEY"),)
    assert found.checks == DEFAULT_CHECKS


def test_every_field(tmp_path: Path) -> None:
    (tmp_path / "app/src").mkdir(parents=True)
    (tmp_path / "app/src/Dockerfile.web").write_text("FROM x\n")
    text = dedent("""\
        [[deployment]]
        name = "api"
        runtime = "docker"
        only_in = "docker"
        build = "src"
        dockerfile = "Dockerfile.web"
        command = ["gunicorn", "app:app"]
        workdir = "/app"
        read_only = true
        tmpfs = ["/tmp", "/run"]
        port = 8000
        ready = "/health"
        request = [
          { path = "/login" },
          { method = "put", path = "/ask", json = { q = "ping" }, headers = { A = "b" } },
          { path = "/upload", data = { a = "b" }, files = { f = "doc.txt" } },
          { websocket = "/chat", send = ["ping"], headers = { C = "d" }, timeout = 90 },
          { command = ["python", "ask.py", "{url}"], timeout = 2.5 },
        ]
        task = { app = "tasks:celery", name = "tasks.ask", args = ["ping", 1], kwargs = { n = 2 }, queue = "llm" }
        workers = 4
        replicas = 2
        key = ["env:A_KEY", "dotenv:.env", "dotenv:conf/.env:NAME", "file:/run/secrets/key"]
        probe = false
        endpoint = "intercept"
        checks = ["gate", "default"]
        expect = ["key-missing", "client-before-env"]
        [deployment.env]
        LOG_LEVEL = "info"
        [deployment.services]
        redis = { image = "redis:7" }
        model = { build = "model", command = ["serve"], env = { A = "b" } }
    """)
    found = one(tmp_path, text)
    origins = found.origins
    assert replace(found, origins={}) == Deployment(
        id="app/llamakey.toml::api",
        name="api",
        folder=tmp_path / "app",
        source=tmp_path / "app/llamakey.toml",
        runtime="docker",
        only_in="docker",
        build="src",
        dockerfile="Dockerfile.web",
        command=("gunicorn", "app:app"),
        workdir="/app",
        read_only=True,
        tmpfs=("/tmp", "/run"),  # noqa: S108
        port=8000,
        ready=Ready(path="/health"),
        requests=(
            HttpRequest("/login"),
            HttpRequest("/ask", "PUT", {"A": "b"}, {"q": "ping"}),
            HttpRequest("/upload", "POST", data={"a": "b"}, files={"f": "doc.txt"}),
            WebSocketRequest("/chat", ("ping",), {"C": "d"}, 90.0),
            CommandRequest(("python", "ask.py", "{url}"), 2.5),
        ),
        task=CeleryTask("tasks:celery", "tasks.ask", ("ping", 1), {"n": 2}, "llm"),
        workers=4,
        replicas=2,
        key=(
            KeyDelivery("env", "A_KEY"),
            KeyDelivery("dotenv", ".env"),
            KeyDelivery("dotenv", "conf/.env", "NAME"),
            KeyDelivery("file", "/run/secrets/key"),
        ),
        env={"LOG_LEVEL": "info"},
        services=(
            Service("redis", "redis:7"),
            Service("model", None, "model", ("serve",), {"A": "b"}),
        ),
        probe=False,
        endpoint="intercept",
        checks=("keyed", "wire", "rollcall", "parity", "exposure", "gate"),
        expect=("key-missing", "client-before-env"),
    )
    lines = {name: place.line for name, place in origins.items()}
    assert {place.file for place in origins.values()} == {"app/llamakey.toml"}
    assert lines == {
        "deployment": 1,
        "name": 2, "runtime": 3, "only_in": 4, "build": 5, "dockerfile": 6, "command": 7, "workdir": 8,
        "read_only": 9, "tmpfs": 10, "port": 11, "ready": 12, "request": 13, "task": 20, "workers": 21, "replicas": 22,
        "key": 23, "probe": 24, "endpoint": 25, "checks": 26, "expect": 27, "env": 28, "env.LOG_LEVEL": 29,
        "services": 30,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('request = { path = "/a" }', "requests", (HttpRequest("/a", "GET"),)),
        ('request = { path = "/a", json = false }', "requests", (HttpRequest("/a", "POST", json=False),)),
        ('request = { path = "/a", data = "x=1" }', "requests", (HttpRequest("/a", "POST", data="x=1"),)),
        ('ready = { log = "started (on|at) [0-9]+" }', "ready", Ready(log="started (on|at) [0-9]+")),
        ('ready = "/"', "ready", Ready(path="/")),
        ('key = "none"', "key", (KeyDelivery("none"),)),
        ('key = "env:azure_key2"', "key", (KeyDelivery("env", "azure_key2"),)),
        ('checks = ["all"]', "checks", ALL_CHECKS),
        ('checks = ["rotation", "keyed", "keyed"]', "checks", ("keyed", "rotation")),
        ("expect = []", "expect", ()),
        ('expect = ["key-baked", "key-baked"]', "expect", ("key-baked",)),
        ('name = "a b/c"', "name", "a b/c"),
    ],
)
def test_forms(tmp_path: Path, line: str, field: str, value: object) -> None:
    assert getattr(one(tmp_path, PROCESS + line), field) == value


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_can_be_expected(tmp_path: Path, cause: str) -> None:
    assert one(tmp_path, f'{PROCESS}expect = ["{cause}"]').expect == (cause,)


def test_there_are_as_many_causes_as_are_documented() -> None:
    assert len(set(CAUSES)) == 22


# Each: lines put after the two of PROCESS, the line to be named, parts of the message.
MISTAKES = {
    "unknown key": ("prot = 8000", 3, ['unknown key "prot"', '"port"']),
    "unknown key, other style": ("Work-Dir = '/app'", 3, ['unknown key "Work-Dir"', '"workdir"']),
    "unknown key, nothing near": ("zzz = 1", 3, ['unknown key "zzz"', "valid ones are name, runtime, only_in, build"]),
    "unknown key in sub-table": (
        "\n[deployment.task]\napp='a'\nname='b'\narg=[]", 7,
        ['unknown key "arg" in task', '"args"'],
    ),
    "unknown key in request": (
        'request = [\n{ path = "/" },\n{ pth = "/" }]', 5,
        ['"pth" in an HTTP request', '"path"'],
    ),
    "unknown key in websocket": ("request = { websocket = '/', sned = ['a'] }", 3, ["a WebSocket request", '"send"']),
    "unknown key in command request": ("request = { command = ['a'], url = 'a' }", 3, ["a command request", '"url"']),
    "unknown key in service": ("services = { redis = { img = 'a' } }", 3, ['"img" in a service', '"image"']),
    "unknown key in ready": ("ready = { path = '/' }", 3, ['unknown key "path" in ready', "log"]),
    "a request's key": ("timeout = 90", 3, ['"timeout"; it belongs in request = { …, timeout = … }']),
    "a request's key, other style": ("JSON = { q = 1 }", 3, ['"JSON"; it belongs in request = { …, json = … }']),
    "a task's key": ("queue = 'q'", 3, ["it belongs in task = { …, queue = … }"]),
    "a ready's key": ("log = 'up'", 3, ["it belongs in ready = { log = … }"]),
    "the project's key": ("build_args = {}", 3, ["it belongs in [tool.llamakey] of pyproject.toml"]),
    "a deployment's key in request": (
        "request = { path = '/', workers = 2 }", 3,
        ['"workers" in an HTTP request; it belongs in the deployment itself'],
    ),
    "a request's key in task": (
        "task = { app = 'a', name = 'b', timeout = 9 }", 3, ["it belongs in request = { …, timeout = … }"],
    ),
    "missing path": (
        "request = { method = 'GET' }", 3,
        ['request: an HTTP request needs the key "path"', 'path = "/ask"'],
    ),
    "missing send": ("request = { websocket = '/' }", 3, ['needs the key "send"']),
    "missing task app": ("task = { name = 'a' }", 3, ['task: task needs the key "app"']),
    "string for number": ('port = "8000"', 3, ['port: expected a whole number, found "8000"', "write 8000 without"]),
    "bool for number": ("workers = true", 3, ["workers: expected a whole number, found true"]),
    "float for number": ("port = 80.5", 3, ["port: expected a whole number, found 80.5"]),
    "number for string": ("env = { A = 4 }", 3, ['env.A: expected a string, found 4; write "4"']),
    "string for list": ("checks = 'all'", 3, ['checks: expected a list, found "all"; write ["all"]']),
    "string for command": ("request = { command = 'a \"b c\"' }", 3, ["request.command", 'write ["a", "b c"]']),
    "list for table": ("env = ['a']", 3, ["env: expected a table, found a list"]),
    "number in command": ("task = { app = 'a', name = 3 }", 3, ['task.name: expected a string, found 3; write "3"']),
    "string for bool": ("probe = 'no'", 3, ['probe: expected true or false, found "no"']),
    "port too high": ("port = 70000", 3, ["port", "at most 65535, found 70000"]),
    "port zero": ("port = 0", 3, ["port", "at least 1, found 0"]),
    "no workers": ("workers = 0", 3, ["workers", "at least 1"]),
    "no replicas": ("replicas = 0", 3, ["replicas", "at least 1"]),
    "unknown runtime": ('runtime = "dokcer"', 3, ["runtime: expected one of docker, process", '"dokcer"', '"docker"']),
    "no runtime that is near": ('runtime = "xyz"', 3, ["runtime: expected one of docker", 'found "xyz"']),
    "runtime of other type": ("runtime = 3", 3, ["runtime: expected one of docker", "found 3"]),
    "unknown endpoint": ('endpoint = "intercpt"', 3, ["endpoint", '"intercept"']),
    "unknown check": ('checks = [\n"keyed",\n"wired"]', 5, ['no check is called "wired"', '"wire"']),
    "no check": ("checks = []", 3, ["checks: expected at least one item"]),
    "unknown cause": ('expect = ["key-missing",\n"client-before-environment"]', 4, ['"client-before-env"']),
    "bad ready path": ('ready = "health"', 3, ["ready: ", 'begins with "/", found "health"']),
    "bad ready type": ("ready = 3", 3, ['ready: expected a path or { log = "regex" }, found 3']),
    "bad ready regex": ("ready = { log = '(a' }", 3, ['ready.log: "(a" is no regular expression', "unterminated"]),
    "bad request path": ("request = { path = 'ask' }", 3, ["request.path: ", 'begins with "/"']),
    "bad request type": ("request = '/ask'", 3, ['request: expected a table such as { path = "/ask" }, found "/ask"']),
    "bad item of requests": ("request = [{ path = '/' },\n3]", 4, ["request[1]: expected a table"]),
    "no requests": ("request = []", 3, ["request: expected at least one item"]),
    "bad method": ("request = { path = '/', method = 'PO ST' }", 3, ["request.method", "HTTP method"]),
    "two bodies": ("request = { path = '/', json = 1, data = 'a' }", 3, ["one body", "json and data"]),
    "date in json": ("request = { path = '/', json = { at = 2020-01-01 } }", 3, ["request.json: there is no JSON"]),
    "form of numbers": (
        "request = { path = '/', data = { a = 1 } }", 3,
        ["request.data: expected a string, or a table"],
    ),
    "bare variable as key": ('key = "OPENAI_API_KEY"', 3, ['write "env:OPENAI_API_KEY"']),
    "scheme unknown": ('key = "dotnev:.env"', 3, ['"dotnev:" is no way', '"dotenv"']),
    "scheme without target": ('key = "env:"', 3, ["lacks what follows the colon"]),
    "bad variable": ('key = "env:MY-KEY"', 3, ['"MY-KEY" is no name of an environment variable']),
    "bad dotenv variable": ('key = "dotenv:.env:1A"', 3, ['"1A" is no name']),
    "dotenv without file": ('key = "dotenv::A"', 3, ["names no file"]),
    "bad secret": ('key = "secret:openai"', 3, ["secret:NAME/ITEM"]),
    "secret outside kubernetes": ('key = "secret:openai/key"', 3, ["Secret of Kubernetes", '"process"']),
    "a change in place of what is no Secret": ('rotation = "in-place"', 3, ["under running pods", "secret:NAME/ITEM"]),
    "a rotation of another kind": ('rotation = "reload"', 3, ["rotation", "in-place"]),
    "none beside another": ('key = ["none", "env:A"]', 3, ["cannot stand beside"]),
    "none with target": ('key = "none:x"', 3, ["takes nothing"]),
    "second of two keys": ('key = [\n"env:A",\n"fil:/x"]', 5, ['key[1]: "fil:"', '"file"']),
    "key of other type": ("key = 3", 3, ["key: expected a string such as"]),
    "bad variable in env": ("env = { 'A B' = 'x' }", 3, ['"A B" is no name of an environment variable']),
    "key variable in env": (
        "[deployment.env]\nA = 'x'\nOPENAI_API_KEY = 'x'", 5,
        ["env.OPENAI_API_KEY", 'key = "none"'],
    ),
    "tmpfs that is no path": ('tmpfs = ["tmp"]', 3, ["tmpfs", "begins with"]),
    "tmpfs of a writable one": ("runtime = 'docker'\nimage = 'x'\ntmpfs = ['/run']", 5, ["tmpfs", "read_only = true"]),
    "networks and no way out": (
        "runtime = 'docker'\nimage = 'x'\nnetworks = ['db']\negress = 'deny'", 5, ["networks names", "leave one"],
    ),
    "networks of the host": ("networks = ['db',\n'host']", 4, ['networks[1]: "host" is no network', "beside its own"]),
    "networks twice": ("networks = ['db', 'db']", 3, ['networks: "db" stands there twice']),
    "networks of a process": ("runtime = 'process'\nnetworks = ['db']", 4, ["networks does not belong", '"docker"']),
    "read-only process": ("runtime = 'process'\nread_only = true", 4, ["read_only does not belong", '"docker"']),
    "only in another": ("runtime = 'docker'\nonly_in = 'process'", 4, ['only_in = "process" and runtime "docker"']),
    "service without source": ("services = { redis = {} }", 3, ["services.redis: ", "image = "]),
    "service with both": ("services = { redis = { image = 'a', build = 'b' } }", 3, ["services.redis: ", "either"]),
    "service name": ("services = { 'a b' = { image = 'a' } }", 3, ['"a b" is no host name']),
    "empty name": ("name = ''", 3, ["name: expected some text"]),
    "name with colons": ("name = 'a::b'", 3, ["name: ", "node id"]),
    "stranger to process": (
        '\nruntime = "process"\nmanifests = ["a.yaml"]', 5,
        ["manifests does not belong", "kubernetes"],
    ),
    "image for process": ('runtime = "process"\nimage = "a"', 4, ["image does not belong", '"docker" or "systemd"']),
    "image and build": ('image = "a"\nbuild = "."', 3, ["ready image", "build builds one"]),
    "docker without Dockerfile": (
        'runtime = "docker"', 3,
        ["no Dockerfile at app/Dockerfile", 'image = "registry/app:1"'],
    ),
    "build folder missing": (
        'build = "nowhere"', 3,
        ["no Dockerfile at app/nowhere/Dockerfile", "build names a folder"],
    ),
    "compose file missing": ('compose = "compose.yml"', 3, ["no file at app/compose.yml"]),
    "compose without file": ('runtime = "compose"', 3, ['add compose = "compose.yaml"']),
    "manifest missing": ('manifests = ["a.yaml"]', 3, ["no file at app/a.yaml"]),
    "kubernetes without files": ('runtime = "kubernetes"', 3, ["add manifests"]),
    "systemd without unit": ('runtime = "systemd"', 3, ["add unit"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(tmp_path: Path, name: str) -> None:
    lines, line, parts = MISTAKES[name]
    error = fails(tmp_path, PROCESS + lines + "\n")
    assert error.origin == Origin("app/llamakey.toml", line)
    assert str(error).startswith(f"app/llamakey.toml:{line}: ")
    for part in parts:
        assert part in error.message
    assert "\n" not in error.message


def test_a_key_written_into_the_file_is_not_repeated(tmp_path: Path) -> None:
    error = fails(tmp_path, f'{PROCESS}key = "sk-proj-secretsecret"')
    assert "a key itself" in error.message
    assert "secretsecret" not in str(error)


AZURE = "9f86d081884c7d659a2feaa0c55ad015"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f'env = ["AZURE_OPENAI_API_KEY={AZURE}"]', "env: expected a table, found a list"),
        (f'env = "{AZURE}"', "env: expected a table, found a string"),
        (
            f'services = {{ db = {{ image = "a", env = "{AZURE}" }} }}',
            "services.db.env: expected a table, found a string",
        ),
        (f'port = "{AZURE}"', "port: expected a whole number, found a string"),
        (f'runtime = "OPENAI_API_KEY={AZURE}"', "found a string"),
        (f'command = "env OPENAI_API_KEY={AZURE} gunicorn app:app"', "command: expected a list, found a string"),
        (f'command = "serve --api-key {AZURE[:9]}"', "command: expected a list, found a string"),
        (f'request = "{"a" * 50} sk-proj-{AZURE}"', "request: expected a table such as"),
        (f'key = "OPENAI_API_KEY={AZURE}"', "a key itself stands here"),
        (f'key = "env:OPENAI_API_KEY={AZURE}"', "a key itself stands here"),
        (f'key = "{AZURE}"', "a key itself stands here"),
        (f"env = {{ 'OPENAI_API_KEY={AZURE}' = '' }}", "this is no name of an environment variable"),
        (f'ready = "sk-proj-{AZURE}"', 'begins with "/", found "<key>"'),
        (f'"sk-proj-{AZURE}" = 1', 'unknown key "<key>"'),
    ],
)
def test_a_mistake_is_told_without_the_key_in_it(tmp_path: Path, line: str, told: str) -> None:
    error = fails(tmp_path, f"[[deployment]]\n{line}\n")
    assert told in error.message
    assert AZURE[:9] not in str(error)


def test_every_mistake_is_told_the_first_line_leading(tmp_path: Path) -> None:
    error = fails(tmp_path, f'{PROCESS}prot = 1\nworkers = "2"\nprobe = 3\n')
    assert error.origin == Origin("app/llamakey.toml", 3)
    first, second, third = str(error).splitlines()
    assert first.startswith("app/llamakey.toml:3: unknown key")
    assert second.startswith("app/llamakey.toml:4: workers")
    assert third.startswith("app/llamakey.toml:5: probe")


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("", 1, "add [[deployment]]"),
        ("# nothing\n", 1, "add [[deployment]]"),
        ('\n[deployment]\ncommand = ["x"]\n', 2, "write [[deployment]]"),
        (f"{PROCESS}\n[[deploymnt]]\n", 4, '"deployment"'),
        (f"port = 1\n{PROCESS}", 1, "it belongs under [[deployment]]"),
        (f"build_args = {{}}\n{PROCESS}", 1, "[tool.llamakey] of pyproject.toml"),
        (f"{PROCESS}name = x\n", 3, "not valid TOML: Invalid value"),
        (f"{PROCESS}command = []\n", 3, "overwrite a value"),
        (f'{PROCESS}name = """\nfoo\n\n', 3, "not valid TOML: Unterminated string"),
        ("[[deployment]]\nname = 'a'\n", 1, "holds no Dockerfile; add command"),
        ("[[deployment]]\nruntime = 'process'\n", 2, "add command ="),
        ("[[deployment]]\nworkers = 1\nservice = 'web'\n", 1, "nothing says how to run this"),
    ],
)  # fmt: skip
def test_mistake_of_the_whole_file(tmp_path: Path, text: str, line: int, part: str) -> None:
    error = fails(tmp_path, text)
    assert (error.origin, part in error.message) == (Origin("app/llamakey.toml", line), True), error


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "llamakey.toml"
    path.write_bytes(b'[[deployment]]\nname = "\xe9"\n')
    with pytest.raises(SpecError, match=r"^llamakey.toml:2: .*UTF-8"):
        read_deployments(path, tmp_path, Defaults())


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "llamakey.toml"
    path.write_text(f'\ufeff{PROCESS}name = "api"\nworker = 2\n', encoding="utf-8")
    with pytest.raises(SpecError, match=r'^llamakey.toml:4: unknown key "worker"; the nearest'):
        read_deployments(path, tmp_path, Defaults())
    path.write_text(f'\ufeff{PROCESS}name = "api"\n', encoding="utf-8")
    assert [one.name for one in read_deployments(path, tmp_path, Defaults())] == ["api"]


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^gone/llamakey.toml: cannot read the file: No such file"):
        read_deployments(tmp_path / "gone/llamakey.toml", tmp_path, Defaults())


@pytest.mark.parametrize(
    ("names", "line"),
    [(["name = 'a'", "name = 'b'", "name = 'a'"], 9), (["", "name = 'b'", ""], 7), (["", "name = 'app'", ""], 6)],
)
def test_two_deployments_of_one_name(tmp_path: Path, names: list[str], line: int) -> None:
    error = fails(tmp_path, "".join(f"{PROCESS}{name}\n" for name in names))
    assert error.origin == Origin("app/llamakey.toml", line)
    assert "already in this file" in error.message


def test_several_deployments_keep_their_order_and_ids(tmp_path: Path) -> None:
    found = read(tmp_path, f"{PROCESS}name = 'b'\n{PROCESS}name = 'a'\n")
    assert [one.id for one in found] == ["app/llamakey.toml::b", "app/llamakey.toml::a"]


def test_a_file_outside_the_root(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "llamakey.toml").write_text(f"{PROCESS}name = 'a'")
    (found,) = read_deployments(tmp_path / "llamakey.toml", tmp_path / "root", Defaults())
    assert found.id == "../llamakey.toml::a"


class TestPyproject:
    SHARED = '[project]\nname = "x"\n[tool.llamakey]\nbuild_args = { A = "file", B = "file" }\nchecks = ["wire"]\n'

    def test_deployments(self, tmp_path: Path) -> None:
        text = f"{self.SHARED}[[tool.llamakey.deployment]]\nname = 'api'\ncommand = ['x']\n"
        (found,) = read(tmp_path, text, "pyproject.toml")
        assert found.id == "pyproject.toml::api"
        assert found.checks == ("wire",)
        assert found.build_args == {"A": "file", "B": "file"}
        assert found.origin("command") == Origin("pyproject.toml", 8)

    def test_options_go_over_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text(self.SHARED)
        found = read_defaults(tmp_path, Defaults({"B": "option"}, ("keyed",)))
        assert found == Defaults({"A": "file", "B": "option"}, ("keyed",))
        assert read_defaults(tmp_path, Defaults()) == Defaults({"A": "file", "B": "file"}, ("wire",))

    def test_defaults_serve_other_files_and_give_way_to_them(self, tmp_path: Path) -> None:
        defaults = Defaults({"A": "1"}, ("keyed",))
        first, second = read(tmp_path, f"{PROCESS}name='a'\n{PROCESS}checks = ['default']", defaults=defaults)
        assert (first.checks, first.build_args) == (("keyed",), {"A": "1"})
        assert second.checks == DEFAULT_CHECKS

    def test_without_a_table_there_is_nothing(self, tmp_path: Path) -> None:
        assert read(tmp_path, "[project]\nname = 'x'\n", "pyproject.toml") == ()
        assert read_defaults(tmp_path, Defaults()) == Defaults()
        (tmp_path / "pyproject.toml").unlink()
        assert read_defaults(tmp_path, Defaults()) == Defaults()

    @pytest.mark.parametrize(
        ("text", "line", "part"),
        [
            ("[tool.llamakey]\nbuild_arg = {}\n", 2, '"build_args"'),
            ("[tool.llamakey]\nbuild-args = {}\n", 2, '"build_args"'),
            ("[tool.llamakey]\nbuild_args = { A = 1 }\n", 2, 'build_args.A: expected a string, found 1; write "1"'),
            ("[tool.llamakey]\nchecks = ['wire',\n'kyed']\n", 3, '"keyed"'),
            ("[tool.llamakey]\nport = 80\n", 2, "belongs under [[tool.llamakey.deployment]]"),
            ("[tool]\nllamakey = 3\n", 2, "[tool.llamakey]"),
            ("[tool.llamakey.deployment]\ncommand = ['x']\n", 1, "write [[tool.llamakey.deployment]]"),
            ("[tool.llamakey]\n[[tool.llamakey.deployment]]\nprot = 3\n", 3, '"port"'),
        ],
    )
    def test_mistakes(self, tmp_path: Path, text: str, line: int, part: str) -> None:
        error = fails(tmp_path, text, "pyproject.toml")
        assert (error.origin, part in error.message) == (Origin("pyproject.toml", line), True), error


def test_deployments_using_a_dockerfile(tmp_path: Path) -> None:
    for name in ("Dockerfile", "Dockerfile.web"):
        (tmp_path / name).write_text("FROM x\n")
    assert deployments_using(tmp_path / "Dockerfile", tmp_path, Defaults()) == ()
    (tmp_path / "llamakey.toml").write_text(
        "[[deployment]]\nname = 'a'\n"
        "[[deployment]]\nname = 'b'\ndockerfile = 'Dockerfile.web'\n"
        "[[deployment]]\nname = 'c'\nimage = 'x'\n"
        "[[deployment]]\nname = 'd'\nruntime = 'process'\ncommand = ['x']\n"
    )
    names = {
        name: [one.name for one in deployments_using(tmp_path / name, tmp_path, Defaults())]
        for name in ("Dockerfile", "Dockerfile.web", "Dockerfile.other")
    }
    assert names == {"Dockerfile": ["a"], "Dockerfile.web": ["b"], "Dockerfile.other": []}
