"""The field ``key``: by what the deployment file says of the key's way, else by what the code reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.guess.platform import Way
from pytest_llamakey.spec import unit_choice
from pytest_llamakey.spec.model import OPENAI_KEY, SpecError
from pytest_llamakey.symptoms.lookups import names_model_key

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.guess.code import Code
    from pytest_llamakey.guess.fields import Draft
    from pytest_llamakey.guess.platform import Compose, Workload
    from pytest_llamakey.spec.unit import Assignment, Unit

_FILES = ("EnvironmentFile", "LoadCredential", "LoadCredentialEncrypted")
_Read = tuple[str, str]
"""The variable that the code takes the key from, and where."""


def say_key(
    made: Draft, code: Code, folder: Path, *, compose: Compose | None, workload: Workload | None, unit: Unit | None
) -> None:
    """How the key arrives in the runtime that ``made`` has; left out where each run reads that in the same file."""
    read = _read_by(code)
    name = read[0]
    if made.runtime == "compose" and compose is not None and not compose.service:
        made.say("key", f"env:{name}", f"once the service is chosen, {compose.file} says how it arrives", sure=False)
    elif made.runtime == "compose" and compose is not None and compose.key is not None:
        _say_way(made, compose.key, read, folder)
    elif made.runtime == "kubernetes" and workload is not None and workload.key is not None:
        _say_way(made, workload.key, read, folder)
    elif made.runtime == "systemd" and unit is not None:
        _say_of_unit(made, code, folder, unit, read)
    elif made.runtime == "process" and unit is not None and (lines := bringing(unit)):
        _say_without_systemd(made, name, lines)
    else:
        _say_as_read(made, code, folder, read)


def bringing(unit: Unit) -> tuple[Assignment, ...]:
    """The unit's lines that may bring a key: files of variables, credentials, a key of systemd's own environment."""
    files = [line for kind in _FILES for line in unit.standing(kind)]
    passed = [line for line in unit.standing("PassEnvironment") if any(map(names_model_key, line.variables))]
    return (*files, *passed)


def _say_of_unit(made: Draft, code: Code, folder: Path, unit: Unit, read: _Read) -> None:
    try:
        found = unit_choice.delivered_by(unit)
    except SpecError as error:
        # Without a `key` the drafted file would be refused.
        made.say("key", f"env:{read[0]}", "correct it: the unit names a file that only systemd can tell")
        made.open.append(f"key: {error}")
        return
    if found is not None:
        _say_way(made, Way(found[0].as_written, str(found[1]), inferred=True), read, folder)
    else:
        _say_as_read(made, code, folder, read)


def _told(line: Assignment) -> str:
    return f"{line.origin} {line.name}={line.value}"


def _say_way(made: Draft, way: Way, read: _Read, folder: Path) -> None:
    name, where = read
    file, _, variable = way.key.removeprefix("dotenv:").rpartition(":")
    is_dotenv = way.inferred and way.key.startswith("dotenv:")
    # Of a file that is not here, a run takes it that it brings OpenAI's own variable.
    if is_dotenv and variable != name and not (made.runtime == "compose" and (folder / file).is_file()):
        made.say("key", f"dotenv:{file}:{name}", f"{way.where}; the variable: {where}")
    elif way.open:
        made.say("key", way.key, way.where, sure=False)
        made.open.append(f"key: {way.open}")
    elif way.inferred:
        made.leave_out("key", way.key, f"each run takes its way from {way.where}")
    else:
        made.say("key", way.key, way.where)


def _say_without_systemd(made: Draft, name: str, lines: tuple[Assignment, ...]) -> None:
    """The unit's way for a plain process, which has variables and none of systemd's credentials."""
    credential = next((line for line in lines if line.name.startswith("LoadCredential")), None)
    if credential is None:
        made.say("key", f"env:{name}", f"as a variable, as {_told(lines[0])} brings it")
        return
    made.say("key", f"env:{name}", "for a process that reads a variable", sure=False)
    made.open.append(f"key: {_told(credential)} brings it, and no plain process gets it so; test the unit itself")


def _read_by(code: Code) -> _Read:
    """The variable that the code takes the key from, and where."""
    read = {name: at for name, (at, _required) in code.variables.items() if names_model_key(name)}
    name = "AZURE_OPENAI_API_KEY" if code.azure and OPENAI_KEY not in read else OPENAI_KEY
    if name not in read and read:
        name = next(iter(read))
    return name, read.get(name, "what OpenAI's clients read")


def _say_as_read(made: Draft, code: Code, folder: Path, read: _Read) -> None:
    name, where = read
    if code.secret_file:
        made.say("key", f"file:{code.secret_file[0]}", code.secret_file[1])
    elif code.dotenv and _dotenv_here(folder):
        suffix = "" if name == OPENAI_KEY else f":{name}"
        made.say("key", f"dotenv:.env{suffix}", f"{code.dotenv}; env:{name} if your platform sets the variable instead")
        return
    else:
        made.say("key", f"env:{name}", where + ("; in the container" if made.runtime == "docker" else ""))
    if code.dotenv:
        made.also.append(f'{code.dotenv} loads a .env: write key = "dotenv:.env" if that is how the key gets there')


def _dotenv_here(folder: Path) -> bool:
    """Whether the app's ``.env`` is part of what is deployed."""
    ignored = folder / ".dockerignore"
    lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines() if ignored.is_file() else []
    kept_out = any(line.strip().lstrip("/").removeprefix("**/") in {".env", ".env*", "*.env"} for line in lines)
    return not kept_out and any((folder / name).is_file() for name in (".env", ".env.example", ".env.sample"))
