"""What the agent tells of exceptions that the app prints, or ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.probe import decode

if TYPE_CHECKING:
    from pytest_llamakey.facts import Failure
    from tests.probe.conftest import Done, World


def failures(done: Done) -> list[Failure]:
    return [decode.failure(event) for event in done.world.records()[0].of_kind("failure")]


def test_the_exception_that_a_process_ends_with_is_told(world: World) -> None:
    code = """
import os
def load():
    return os.environ["TEAM_KEY"]
load()
load_dotenv()
"""
    done = world.run(code)
    assert "KeyError: 'TEAM_KEY'" in done.err
    (failure,) = failures(done)
    assert (failure.type, failure.message) == ("builtins.KeyError", "'TEAM_KEY'")
    assert [str(place) for place in failure.where] == ["app.py:4", "app.py:5"]
    assert failure.where[0].text == 'return os.environ["TEAM_KEY"]'
    assert str(failure.later) == "app.py:6"


def test_one_that_is_logged_is_told_once_with_what_it_came_of(world: World) -> None:
    code = """
import logging, os
class ConfigError(Exception): pass
def load():
    try:
        return os.environ["TEAM_KEY"]
    except KeyError as error:
        raise ConfigError("no key") from error
for _ in range(3):
    try:
        load()
    except ConfigError:
        logging.exception("it failed")
"""
    done = world.run(code)
    assert done.err.count("ConfigError: no key") == 3
    (failure,) = failures(done)
    assert failure.type == "__main__.ConfigError"
    assert failure.message == "no key (builtins.KeyError: 'TEAM_KEY')"
    assert str(failure.where[0]) == "app.py:6"


def test_what_other_variables_hold_is_not_told(world: World) -> None:
    code = """
import os, traceback
os.environ["DATABASE_PASSWORD"] = "correct horse battery"
try:
    raise ValueError("cannot log in with correct horse battery")
except ValueError:
    traceback.format_exc()
"""
    (failure,) = failures(world.run(code))
    assert failure.message.startswith("cannot log in with sk-…")


def test_a_call_that_failed_is_told_as_that_alone(world: World) -> None:
    world.mock.status = 401
    done = world.run("import openai\nopenai.OpenAI(max_retries=0).models.list()")
    assert "AuthenticationError" in done.err
    (record,) = world.records()
    assert record.of_kind("error")
    assert not record.of_kind("failure")


def test_the_words_of_an_exit_are_told_with_the_line(world: World) -> None:
    code = """
import sys
def check():
    sys.exit("set OPENAI_API_KEY")
check()
"""
    done = world.run(code)
    assert "set OPENAI_API_KEY" in done.err
    (failure,) = failures(done)
    assert (failure.type, failure.message) == ("builtins.SystemExit", "set OPENAI_API_KEY")
    assert [str(place) for place in failure.where] == ["app.py:4", "app.py:5"]


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    sys.exit('set OPENAI_API_KEY')\nexcept SystemExit:\n    pass",
        "def main():\n    try:\n        sys.exit('set OPENAI_API_KEY')\n    except SystemExit:\n        pass\nmain()",
        "import threading\nthread = threading.Thread(target=sys.exit, args=('no',))\nthread.start(); thread.join()",
        "import threading\nthread = threading.Thread(target=lambda: sys.exit('no'))\nthread.start(); thread.join()",
        "def main():\n    try:\n        sys.exit('no')\n    except SystemExit:\n        sys.exit(0)\nmain()",
    ],
    ids=["caught", "caught within", "thread of it", "thread", "ended otherwise"],
)
def test_an_exit_by_which_nothing_ended_is_no_failure(world: World, code: str) -> None:
    done = world.run("import sys\n" + code)
    assert done.code == 0, done.err
    assert not failures(done)


def test_an_exit_that_was_caught_is_not_why_a_later_exception_was_raised(world: World) -> None:
    code = """
import sys
def main():
    try:
        sys.exit("set OPENAI_API_KEY")
    except SystemExit:
        pass
    raise ValueError("no such user")
main()
"""
    assert [failure.message for failure in failures(world.run(code))] == ["no such user"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_words_of_a_child_s_exit_are_the_child_s(world: World, method: str) -> None:
    code = f"""
import multiprocessing, sys
def work():
    sys.exit("set OPENAI_API_KEY")
if __name__ == "__main__":
    child = multiprocessing.get_context("{method}").Process(target=work)
    child.start(); child.join()
    print(child.exitcode)
"""
    done = world.run(code)
    assert done.out == "1\n", done.err
    told = [
        [str(place) for place in decode.failure(event).where]
        for record in done.world.records(2)
        for event in record.of_kind("failure")
    ]
    assert told == [["app.py:4", "app.py:7"] if method == "fork" else ["app.py:4"]]


def test_an_object_that_is_passed_to_an_exit_is_made_a_text_by_the_interpreter_alone(world: World) -> None:
    code = """
import sys
class Words:
    def __str__(self):
        print("asked")
        return "words"
sys.exit(Words())
"""
    done = world.run(code)
    assert (done.out, done.err) == ("asked\n", "words\n")


def test_an_exit_in_good_order_is_no_failure(world: World) -> None:
    assert not failures(world.run("import sys\nsys.exit(0)"))


def test_an_exit_code_is_another_program_s_word(world: World) -> None:
    assert not failures(world.run("import sys\nsys.exit(3)"))


SETTINGS = """
from pydantic import AliasChoices, BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings

class Model(BaseModel):
    api_key: SecretStr
    name: str = "gpt-4o-mini"

class Settings(BaseSettings):
    model_config = {{{config}}}
    {field}
Settings()
"""


@pytest.mark.parametrize(
    ("config", "field", "asked"),
    [
        ('"env_nested_delimiter": "__"', "llm: Model", ("LLM__API_KEY",)),
        ('"env_nested_delimiter": "__", "env_prefix": "app_"', "llm: Model", ("APP_LLM__API_KEY",)),
        ('"env_prefix": "GPT_"', "api_key: str", ("GPT_API_KEY",)),
        ("", 'key: str = Field(alias="OPENAI_KEY")', ("OPENAI_KEY",)),
        ("", 'key: str = Field(validation_alias=AliasChoices("A_KEY", "B_KEY"))', ("A_KEY", "B_KEY")),
        ("", "llm: str", ("LLM",)),
        ("", "llm: Model", ("LLM",)),
    ],
)
def test_settings_tell_the_variables_of_the_fields_that_they_lack(
    world: World, config: str, field: str, asked: tuple[str, ...]
) -> None:
    pytest.importorskip("pydantic_settings")
    (failure,) = failures(world.run(SETTINGS.format(config=config, field=field)))
    assert failure.type.endswith("ValidationError")
    assert failure.asked == asked


def test_a_section_in_a_variable_of_json_that_lacks_its_key_is_told_by_that_variable(world: World) -> None:
    pytest.importorskip("pydantic_settings")
    (failure,) = failures(world.run(SETTINGS.format(config="", field="llm: Model"), LLM="{}"))
    assert failure.asked == ("LLM",)


def test_what_a_request_lacks_is_no_variable(world: World) -> None:
    (failure,) = failures(world.run("import pydantic\nclass A(pydantic.BaseModel):\n    api_key: str\nA()"))
    assert failure.asked == ()
