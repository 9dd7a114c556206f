"""What the agent tells of exceptions that the app prints, or ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
