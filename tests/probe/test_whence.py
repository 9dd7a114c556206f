"""What the agent tells of where a key comes from, and of where one was looked for."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import decode
from tests.probe.conftest import CANARY, calls

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.facts import Place
    from pytest_llamakey.probe.listener import ProcessRecord
    from tests.probe.conftest import World

FOREIGN = "sk-proj-written-into-the-code-1234"


def misses(record: ProcessRecord) -> list[tuple[str, str]]:
    found = [decode.environment_miss(event) for event in record.of_kind("miss")]
    return [(miss.name, str(miss.where[0]) if miss.where else "") for miss in found]


def literals(record: ProcessRecord, kind: str = "client") -> list[Place | None]:
    read = {"client": decode.client, "env": decode.environment_change, "change": decode.client_change}[kind]
    return [read(event).literal for event in record.of_kind(kind)]


def test_a_look_up_in_vain_is_told_once_for_each_place(world: World) -> None:
    code = """
import os
for _ in range(3):
    os.getenv("OPENAI_KEY", "")
    "MY_TOKEN" in os.environ
try:
    os.environ["APP_SECRET"]
except KeyError as error:
    print(error, error.__context__ is None or error.__suppress_context__)
os.getenv("openai_key"), os.getenv("LOG_LEVEL"), os.getenv("OPENAI_BASE_URL")
os.environ.setdefault("SET_KEY", "x"), os.environ.pop("GONE_KEY", None)
os.getenvb(b"LAST_KEY")
"""
    done = world.run(code)
    assert done.out == "'APP_SECRET' True\n"
    assert misses(done.record) == [
        ("OPENAI_KEY", "app.py:4"),
        ("MY_TOKEN", "app.py:5"),
        ("APP_SECRET", "app.py:7"),
        ("LAST_KEY", "app.py:12"),
    ]


def test_what_libraries_look_up_while_they_are_imported_is_not_told(world: World) -> None:
    code = "import os, openai, llama_index.llms.openai, dotenv\ndotenv.load_dotenv()\nopenai.OpenAI()"
    (world.app / ".env").write_text("SOME_KEY=x\n")
    record = world.run(code).record
    assert {place for _, place in misses(record)} <= {"app.py:3"}
    assert "SOME_KEY" not in dict(misses(record))


def test_there_is_an_end_to_look_ups(world: World) -> None:
    code = "import os\nfor number in range(80): os.getenv('KEY_%d' % number)"
    assert len(misses(world.run(code).record)) == 50


def test_a_clients_key_that_is_replaced_is_told(world: World) -> None:
    code = f"""
import openai
from llama_index.llms.openai import OpenAI
from llama_index.embeddings.openai import OpenAIEmbedding
client, llm, embedding = openai.AsyncOpenAI(), OpenAI(model="gpt-4o-mini"), OpenAIEmbedding()
client.api_key = client.api_key
client.api_key = None
llm.api_key = "{FOREIGN}"
embedding.api_key = ""
openai.api_key = "{CANARY}"
llm.temperature = 0.5
print(llm.api_key == "{FOREIGN}", openai.api_key == "{CANARY}")
"""
    done = world.run(code)
    assert done.out == "True True\n", done.err
    changes = [decode.client_change(event) for event in done.record.of_kind("change")]
    assert [(change.kind, change.key.state, str(change.where[0])) for change in changes] == [
        ("openai.AsyncOpenAI", "missing", "app.py:7"),
        ("llama_index.llms.openai.base.OpenAI", "different", "app.py:8"),
        ("llama_index.embeddings.openai.base.OpenAIEmbedding", "empty", "app.py:9"),
        ("openai", "match", "app.py:10"),
    ]
    assert [str(place) if place else "" for place in literals(done.record, "change")] == ["", "app.py:8", "", ""]
    assert FOREIGN not in repr(done.record)


SETTINGS = '''
"""Not here: sk-proj-written-into-the-code-1234x"""
# KEY = "sk-proj-written-into-the-code-1234"
KEY = "sk-proj-written-into-the-code-1234"
'''


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("import openai\nopenai.OpenAI(\n  api_key='{key}',\n)", "app.py:3"),
        ("import openai\nkey = '{key}'\n\ndef make():\n    return openai.OpenAI(api_key=key)\nmake()", "app.py:2"),
        ("import openai\ndef make(key='{key}'):\n    return openai.OpenAI(api_key=key)\nmake()", "app.py:2"),
        ("import openai, settings\nopenai.OpenAI(api_key=settings.KEY)", "settings.py:4"),
        ("import openai\nopenai.OpenAI(api_key='sk-proj-written' '-into-the-code-1234')", "app.py:2"),
        ("import openai\nopenai.OpenAI(api_key='sk-proj-written' + input()[:0] + '-into-the-code-1234')", ""),
        ("import os, openai\nopenai.OpenAI(api_key=os.environ['OTHER_KEY'])\n'{key}'", ""),
        ("import openai\nopenai.OpenAI()\n'{key}'", ""),
    ],
    ids=["argument", "constant", "default", "module", "folded", "composed", "from outside", "right key"],
)
def test_the_line_where_a_foreign_key_stands(world: World, code: str, place: str) -> None:
    (world.app / "settings.py").write_text(SETTINGS)
    source = code.replace("{key}", FOREIGN).replace("input()", "'x'")
    variables = {"OTHER_KEY": FOREIGN} if "OTHER_KEY" in code else {}
    record = world.run(source, **variables).record
    (found,) = literals(record)
    assert (str(found) if found else "") == place
    assert FOREIGN not in repr(record)


@pytest.mark.parametrize(
    "line",
    [
        "a, b = lambda: os.environ.get('ONE_KEY'), lambda: os.environ.get('TWO_KEY', '{key}')",
        "a = b = lambda: os.environ.get('ONE_KEY', (lambda: '{key}')())",
        "a = b = lambda: os.environ.get('ONE_KEY')  # was \"{key}\"",
    ],
    ids=["beside", "inside", "comment"],
)
def test_a_key_without_a_mark_of_its_own_is_masked_whoevers_line_it_stands_in(world: World, line: str) -> None:
    key = "abcdef0123456789abcdef01"
    world.run(f"import os\n{line.replace('{key}', key)}\na(), b()")
    (record,) = world.records()
    told = [place["text"] for event in record.of_kind("miss") for place in event.data["where"]]
    assert any("os.environ.get" in text and "sk-…" in text for text in told)
    assert key not in repr(record)


def test_a_literal_that_is_put_into_the_environment(world: World) -> None:
    code = """
import os
def defaults():
    os.environ.setdefault("OPENAI_API_KEY", "your key here")
defaults()
os.environ["OPENAI_API_KEY"] = ""
"""
    first, second = literals(world.run(code, key=None).record, "env")
    assert (str(first), first.function, second) == ("app.py:4", "defaults", None)


def test_a_key_out_of_a_dotenv_file_is_no_literal(world: World) -> None:
    (world.app / ".env").write_text(f"OPENAI_API_KEY={FOREIGN}\nOTHER=1\n")
    code = f"import dotenv\ndotenv.load_dotenv()\n'{FOREIGN}'"
    record = world.run(code, key=None).record
    assert literals(record, "env") == [None]
    (loaded,) = (decode.dotenv(event) for event in record.of_kind("dotenv"))
    assert loaded.names == ("OPENAI_API_KEY", "OTHER")


def test_delivered_files_as_the_process_sees_them(make_world: Callable[..., World], tmp_path) -> None:
    here, hidden = tmp_path / "here", tmp_path / "hidden"
    here.write_text(CANARY)
    hidden.write_text(CANARY)
    hidden.chmod(0)
    paths = {"here": str(here), "/run/secrets/hidden": str(hidden), ".env": str(here / ".env"), "no": "/no/such"}
    world = make_world(files=paths)
    code = "import os, sys\nif os.getuid() == 0: os.setuid(65534)\nprint('ready', flush=True)\nsys.stdin.readline()"
    for folder in (tmp_path, *tmp_path.parents):
        if os.getuid() == 0 and folder.stat().st_uid == 0 and "pytest" in str(folder):
            folder.chmod(0o755)
    process = world.start(code)
    assert process.stdout.readline() == b"ready\n"
    seen = world.ask(process.pid, "report", "snapshot")["files"]
    _, err = process.communicate(b"\n", timeout=20)
    assert (process.returncode, err) == (0, b"")
    assert seen == {"here": "readable", "/run/secrets/hidden": "unreadable", ".env": "absent", "no": "absent"}
    (record,) = world.records()
    assert set(record.hello.files) == set(paths)


def test_an_exit_without_atexit_is_told(world: World) -> None:
    code = """
import multiprocessing, os
def work(): pass
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    child = context.Process(target=work)
    child.start()
    child.join()
    if os.fork() == 0:
        os.kill(os.getpid(), 9)
    os.wait()
    os._exit(0)
"""
    assert world.run(code).code == 0
    records = world.records(3)
    assert [record.orderly for record in records] == [True, True, False]
    assert [e.data.get("code") for r in records for e in r.of_kind("exit")] == [0, 0]


def test_an_exit_that_fails_is_none(world: World) -> None:
    code = """
import os
try:
    os._exit("0")
except TypeError:
    os.environ["OPENAI_API_KEY"] = ""
"""
    record = world.run(code).record
    assert [event.kind for event in record.events] == ["env", "exit"]


def test_what_the_parent_was_started_with(world: World) -> None:
    code = """
import os, subprocess, sys
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "app.py", "again"], env={"PATH": "/bin"}, check=True)
"""
    world.run(code)
    parent, child = world.records(2)
    assert child.hello.ppid == parent.pid
    assert "OPENAI_API_KEY" not in child.hello.env
    assert decode.environment(child.hello.parent_env)["OPENAI_API_KEY"].state == "match"


def test_a_console_script_is_not_the_app(world: World) -> None:
    script = world.python.parent / "launch"
    script.write_text("import app\napp.main()\n")
    (world.app / "app.py").write_text("import os\ndef main():\n    os.environ['OPENAI_API_KEY'] = ''\n")
    try:
        environment = world.environment(PYTHONPATH=str(world.app), OPENAI_API_KEY=CANARY)
        subprocess.run([world.python, script], cwd=world.app, env=environment, check=True, timeout=20)
    finally:
        script.unlink()
    (record,) = world.records()
    (change,) = (decode.environment_change(event) for event in record.of_kind("env"))
    assert [str(place) for place in change.where] == ["app.py:3"]


def test_the_line_further_down_that_would_have_set_it_is_told(world: World) -> None:
    (world.app / "settings.py").write_text('import os\nKEY = os.environ["OPENAI_API_KEY"]\n')
    (world.app / "main.py").write_text(
        "import os\nfrom settings import KEY\nif KEY:\n    load_dotenv()\nload_dotenv('.env')\n"
    )
    code = "import os\ndel os.environ['OPENAI_API_KEY']\ntry:\n    import main\nexcept KeyError:\n    pass"
    done = world.run(code)
    missed = [decode.environment_miss(event) for event in done.record.of_kind("miss")]
    assert [str(miss.later) for miss in missed] == ["main.py:5"]


MADE = (
    'def make(\n    name,\n):\n    """Load it."""\n    if name:\n        load_dotenv(\'not.env\')\n    load_dotenv()\n'
)


@pytest.mark.parametrize(
    ("below", "arguments", "later"),
    [
        pytest.param(f"{MADE}app = make(1)\n", (), "main.py:8", id="a function that is called below"),
        pytest.param(f"{MADE}", ("main:make()",), "main.py:8", id="a factory that the server calls"),
        pytest.param(f"{MADE}", (), "None", id="a function that nobody calls"),
        pytest.param(f"{MADE}app = remake(1) or it.make(1)\n", (), "None", id="others of a like name are called"),
        pytest.param(f"{MADE}if KEY:\n    app = make(1)\n", (), "None", id="it is called under a condition"),
        pytest.param(
            "def make():\n    if KEY:\n        load_dotenv()\napp = make()\n", (), "None", id="a condition in it"
        ),
    ],
)
def test_a_function_that_is_yet_to_run_would_have_set_it(
    world: World, below: str, arguments: tuple[str, ...], later: str
) -> None:
    (world.app / "main.py").write_text(f'KEY = __import__("os").environ["OPENAI_API_KEY"]\n{below}')
    code = "import os, sys\ndel os.environ['OPENAI_API_KEY']\ntry:\n    import main\nexcept KeyError:\n    pass"
    done = world.run(f"import sys\nsys.argv += {list(arguments)}\n{code}")
    missed = [decode.environment_miss(event) for event in done.record.of_kind("miss")]
    assert [str(miss.later) for miss in missed] == [later]


@pytest.mark.parametrize(
    ("hook", "options", "later"),
    [
        ("post_fork(arbiter, worker)", ["--preload"], "gunicorn.conf.py:3"),
        ("post_fork(arbiter, worker)", [], "None"),
        ("post_worker_init(worker)", ["--preload"], "gunicorn.conf.py:3"),
        ("post_worker_init(worker)", [], "gunicorn.conf.py:3"),
    ],
)
def test_a_hook_of_gunicorn_s_is_to_come_only_where_it_has_not_run(
    world: World, hook: str, options: list[str], later: str
) -> None:
    lines = [f"def {hook}:", "    from dotenv import load_dotenv", "    load_dotenv('/etc/app/.env')"]
    (world.app / "gunicorn.conf.py").write_text("\n".join(lines))
    (world.app / "web.py").write_text("import os\nkey = os.environ['OPENAI_API_KEY']\n")
    command = [str(world.python), "-m", "gunicorn", "-b", "127.0.0.1:0", *options, "web"]
    done = subprocess.run(command, cwd=world.app, env=world.environment(), capture_output=True, timeout=60, check=False)
    assert done.returncode, done.stderr
    records = world.records()
    told = [decode.environment_miss(event).later for record in records for event in record.of_kind("miss")]
    told += [decode.failure(event).later for record in records for event in record.of_kind("failure")]
    assert {str(place) for place in told} == {later}, done.stderr


def test_the_line_that_would_have_passed_the_key_on_to_azures_class_is_told(world: World) -> None:
    code = 'import os\nos.getenv("AZURE_OPENAI_API_KEY")\nos.environ["AZURE_OPENAI_API_KEY"] = "x"\n'
    (missed,) = (decode.environment_miss(event) for event in world.run(code).record.of_kind("miss"))
    assert str(missed.later) == "app.py:3"


def test_a_look_up_that_nothing_would_have_helped_has_no_such_line(world: World) -> None:
    done = world.run('import os\ndel os.environ["OPENAI_API_KEY"]\nos.getenv("OPENAI_API_KEY")\n# load_dotenv()\n')
    assert [decode.environment_miss(event).later for event in done.record.of_kind("miss")] == [None]


def test_the_line_that_starts_a_program_is_told_with_its_pid(world: World) -> None:
    code = "import subprocess\nchild = subprocess.Popen(['true'])\nprint(child.pid)\nprint(child.wait())"
    done = world.run(code)
    pid, status = done.out.split()
    (event,) = done.record.of_kind("spawn")
    assert (event.data["pid"], status) == (int(pid), "0")
    assert str(decode.places(event.data["where"])[0]) == "app.py:2"


def test_a_program_that_is_not_there_fails_as_ever(world: World) -> None:
    code = """
import subprocess, traceback
try:
    subprocess.Popen(["/not/there"])
except FileNotFoundError as error:
    print([frame.name for frame in traceback.extract_tb(error.__traceback__)])
"""
    assert world.run(code).out == "['<module>', '__init__', '_execute_child']\n"


def test_a_child_is_told_to_have_started_when_its_parent_forked(world: World) -> None:
    code = """
import os, time
pid = os.fork()
if pid == 0:
    os._exit(0)
os.environ["OPENAI_API_KEY"] = "later"
os.waitpid(pid, 0)
"""
    world.run(code)
    child, parent = (next(r for r in world.records(2) if r.hello.how == how) for how in ("fork", "exec"))
    (change,) = [event for event in parent.of_kind("env") if event.data["name"] == "OPENAI_API_KEY"]
    assert parent.started <= child.started <= change.at


def spawns(record: ProcessRecord) -> list[tuple[str, tuple[str, ...] | None]]:
    found = [decode.spawn(event) for event in record.of_kind("spawn")]
    return [(str(spawn.where[0]), spawn.without) for spawn in found]


def test_programs_are_told_with_the_keys_that_are_left_out_of_their_environment(world: World) -> None:
    code = """
import os, subprocess
subprocess.run(["true"], env={"PATH": os.environ["PATH"]})
subprocess.run(["true"])
os.waitpid(os.posix_spawn("/bin/true", ["true"], {"OPENAI_API_KEY": "x"}), 0)
"""
    told = spawns(world.run(code).record)
    assert told == [("app.py:3", ("OPENAI_API_KEY",)), ("app.py:4", None), ("app.py:5", ())]


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("os.execvp(sys.executable, command)", None),
        ("os.execvpe(sys.executable, command, os.environ)", None),
        ("os.execle(sys.executable, *command, {})", ("OPENAI_API_KEY",)),
    ],
)
def test_a_program_that_gives_its_place_to_another_says_so(
    world: World, line: str, without: tuple[str, ...] | None
) -> None:
    assert world.run(f"import os, sys\ncommand = [sys.executable, '-c', 'pass']\n{line}").code == 0
    first, _second = world.records(2)
    assert spawns(first) == [("app.py:3", without)]


def test_a_process_that_c_code_forks_reports_on_its_own_connection(world: World) -> None:
    """As uWSGI's workers: ``os.register_at_fork`` is not told of them."""
    code = """
import ctypes, os, threading
from openai import OpenAI

libc = ctypes.PyDLL(None)
children = []
for _ in range(2):
    pid = libc.fork()
    if pid == 0:
        messages = [{"role": "user", "content": "ping"}]
        ask = lambda: OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages)
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
OpenAI()
print(*children)
"""
    done = world.run(code)
    assert (done.code, done.err) == (0, "")
    records = world.records(3)
    children = {int(pid) for pid in done.out.split()}
    parent = next(record for record in records if record.pid not in children)
    assert [record.hello.how for record in records if record is not parent] == ["fork", "fork"]
    assert {record.pid for record in records} == {parent.pid, *children}
    assert {record.pid: len(calls(record)) for record in records} == {parent.pid: 0, **dict.fromkeys(children, 2)}
    assert len(parent.of_kind("client")) == 1, "its own connection goes on"
    assert world.mock.listener.rejected == 0
