"""The app loads a ``.env`` that is not where it looks."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, innermost, moment, raised
from pytest_llamakey.causes.recorded import (
    EMPTY,
    MISSING,
    app,
    at,
    client,
    dotenv,
    ended,
    keyless,
    main_process,
    miss,
    roll,
    source,
    worker,
)
from pytest_llamakey.causes.trail import dotenv_files, given
from pytest_llamakey.causes.uses import bereft, grouped, once
from pytest_llamakey.facts import Drive, Failure
from pytest_llamakey.secrecy.dotenv_guard import is_dotenv
from pytest_llamakey.symptoms.lookups import delivered_names, files_missed, lookups, read_by_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.facts import DotenvLoad, Facts, Place, Process, SourceLine
    from pytest_llamakey.findings import Finding

_NOT_FOUND = dotenv(0.2, MISSING, path="config/.env", found=False)
_OPENED = Failure(1.0, "builtins.FileNotFoundError", "[Errno 2] No such file or directory: '.env'", at("env.py:4"))
_LINE = at("conf.py:10", "settings = AppSettings()")
_SETTINGS = replace(dotenv(0.4, MISSING, path=".env", found=False), where=_LINE)
_LOADER = re.compile(r"(?<![\w.])((?:\w+\.)*(?:load_dotenv|dotenv_values|read_env|\w*Settings))\(")
_CLASS = re.compile(r"(?<![\w.])((?:[a-z_]\w*\.)*(?!Path\()[A-Z]\w*)\(")
_IGNORED = source("ignored", ".env", ".dockerignore:2", ".env")


class DotenvNotFound(Cause):
    """``load_dotenv()`` looks for its file where it is not, says nothing, and the app goes on without a key.

    What you see: ``The api_key client option must be set``, ``Missing credentials`` or ``No API key found for OpenAI``,
    although the ``.env`` is there; or it is on your machine only, since ``.dockerignore`` keeps it out of the image.
    ``load_dotenv()`` returns ``False`` then, which nobody looks at.

    A relative path starts at the folder the process was started in, which is another one under a supervisor, and
    ``load_dotenv()`` without a path looks beside the file that calls it and upwards from there:

        load_dotenv("config/.env")

    Name the file from where the code is, and let it be an error that it is not there:

        if not load_dotenv(Path(__file__).parent / ".env"):
            raise SystemExit(".env not found")
    """

    name = "dotenv-not-found"
    title = "the .env is not where the app looks"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("another folder", app(keyless(dotenv=(_NOT_FOUND,)), delivered=("dotenv:.env",)), True),
        Example(
            "find_dotenv() found none",
            app(keyless(dotenv=(dotenv(0.2, MISSING, path="", found=False),)), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "it found another .env, without the key",
            app(
                keyless(dotenv=(dotenv(0.2, MISSING, path="app/.env", names=("LOG_LEVEL",)),)),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            ".dockerignore keeps it out of the image",
            app(keyless(dotenv=(dotenv(0.2, MISSING, path="", found=False),)), delivered=("none",), source=(_IGNORED,)),
            True,
        ),
        Example(
            "a settings library that reads the file by itself",
            app(
                keyless(environment_misses=(miss(0.4, "OPENAI_API_KEY", text='KEY = config("OPENAI_API_KEY")'),)),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            "the env_file of pydantic-settings is another",
            app(
                ended(
                    dotenv=(_SETTINGS,),
                    failures=(
                        Failure(
                            0.5,
                            "pydantic_core._pydantic_core.ValidationError",
                            "1 validation error for AppSettings\nopenai_api_key\n  Field required",
                            _LINE,
                        ),
                    ),
                ),
                delivered=("dotenv:conf/.env",),
            ),
            True,
        ),
        Example(
            "the app opens it by itself",
            app(keyless(clients=(), errors=(), rollcall=(), failures=(_OPENED,)), delivered=("dotenv:conf/.env",)),
            True,
        ),
        Example(
            "only the process that was started elsewhere",
            app(
                worker(7, environment={}, dotenv=(dotenv(0.2),), key_source="dotenv"),
                keyless(8, dotenv=(_NOT_FOUND,)),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            "found and loaded",
            app(worker(environment={}, dotenv=(dotenv(0.2),), key_source="dotenv"), delivered=("dotenv:.env",)),
            False,
        ),
        Example("none is there, and the key comes by the environment", app(worker(dotenv=(_NOT_FOUND,))), False),
        Example(
            "a second file that is optional",
            app(worker(environment={}, dotenv=(_NOT_FOUND, dotenv(0.3))), delivered=("dotenv:.env",)),
            False,
        ),
        Example("nothing delivers a key at all", app(keyless(dotenv=(_NOT_FOUND,)), delivered=("none",)), False),
        Example(
            "a launcher cleared the variable that should have come",
            app(main_process(), keyless(dotenv=(_NOT_FOUND,))),
            False,
        ),
        Example(
            "a module keeps what it reads of the file, and the processes of a pool use it",
            app(
                keyless(
                    clients=(),
                    errors=(),
                    rollcall=(),
                    environment_misses=(miss(0.4, "OPENAI_API_KEY", "conf.py:4", 'KEY = config("OPENAI_API_KEY")'),),
                    drive=Drive("called", answer=200, requests=1, helpers=(9,)),
                ),
                worker(9, ppid=7, role="helper", environment={}, drive=None),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
        Example(
            "it was found, and something else is wrong",
            app(
                worker(
                    environment={},
                    dotenv=(dotenv(0.2),),
                    clients=(client(key=EMPTY),),
                    calls=(),
                    rollcall=(roll(EMPTY),),
                ),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that looks in the wrong place."""
        ignored = [line for line in facts.deployment.source if line.kind == "ignored"]
        delivered = dotenv_files(facts)
        if not delivered and not (ignored and not given(facts, "env") and not given(facts, "file")):
            return
        rows = []
        for trouble, use in bereft(self, facts):
            search = _in_vain(facts, trouble.process, delivered) or (
                _by_settings(trouble.process, facts) if delivered else None
            )
            if search is not None:
                rows.append((str(search.place), (search, trouble, use)))
        for group in grouped(rows):
            search, _trouble, use = group[0]
            hidden = ignored if not delivered else []
            yield self.finding(
                once(trouble for _search, trouble, _use in group),
                where=[search.place, *(line.place for line in hidden), use.place if search.place is None else None],
                evidence=[
                    search.told,
                    *(f"the .env is delivered as {path}" for path in delivered),
                    *(f"{line.place} keeps {line.name} out of the image" for line in hidden),
                    use.line,
                ],
                fix=_fix(search, delivered, hidden),
            )


@dataclass(frozen=True)
class _Search:
    """The line that looks for the file, and its line of the timeline."""

    place: Place | None
    told: str
    by: str = "load_dotenv()"


def _in_vain(facts: Facts, process: Process, delivered: tuple[str, ...]) -> _Search | None:
    """The load that should have brought the key: one that found nothing, else one that found another file."""
    lost = [load for load in process.dotenv if not load.found]
    other = [
        load for load in process.dotenv if load.found and load.key.state == "missing" and load.path not in delivered
    ]
    load = next(iter(lost or (other if delivered else [])), None)
    if load is None:
        for path, failure in files_missed(facts, process) if not process.dotenv else ():
            if is_dotenv(path.rpartition("/")[2]):
                return _Search(innermost(failure.where), raised(failure), "what opens the file")
    if load is None:
        return None
    place = innermost(load.where)
    by = _loader(place)
    return _Search(place, moment(load.at, load.where, f"{by} {_told(load)}"), by)


def _loader(place: Place | None) -> str:
    """What loads the file, in the line's own words: ``load_dotenv()``, ``Settings()`` of pydantic-settings.

    Where none of the usual names is called it may be settings whose class has another.
    """
    text = place.text if place is not None else ""
    called = _LOADER.search(text) or _CLASS.search(text)
    return f"{called[1]}()" if called else "load_dotenv()"


def _told(load: DotenvLoad) -> str:
    if load.found:
        return f"reads {load.path}, in which there is no key"
    return f"looks for {load.path} and finds none" if load.path else "finds no .env"


def _by_settings(process: Process, facts: Facts) -> _Search | None:
    """A settings library (decouple, environs) that looks for the file by itself, and for the variable.

    Its look-up stands in a line of the app that names the variable, and not ``os.environ`` (which reads no file).
    """
    if process.dotenv:
        return None
    for missed in reversed(lookups(process)):
        text = missed.where[0].text if missed.where else ""
        if missed.name in delivered_names(facts) and read_by_settings(text, missed.name):
            told = moment(missed.at, missed.where, f"{missed.name} is looked up, in no .env and not in the environment")
            return _Search(innermost(missed.where), told, "what reads the settings")
    return None


def _fix(search: _Search, delivered: tuple[str, ...], hidden: list[SourceLine]) -> str:
    line = f"{search.by} in {search.place}" if search.place else search.by
    if hidden:
        return f"Deliver the .env (or the variable) when the container starts: {hidden[0].place} keeps it out."
    return f"Give {line} the full path of {delivered[0]}, or put the file where it looks."
