"""Which look-ups of a key missed: by what the environment saw, and by what the process said when it failed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_llamakey.facts import EnvironmentMiss
from pytest_llamakey.remembered import remembered
from pytest_llamakey.secrecy.dotenv_guard import is_dotenv
from pytest_llamakey.spec.model import OPENAI_KEY
from pytest_llamakey.symptoms.base import about_keys, proven

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.facts import Facts, Failure, Process

LIBRARIES_LOOK_UP = frozenset(
    {"OPENAI_ADMIN_KEY", "OPENAI_WEBHOOK_SECRET", "AZURE_OPENAI_AD_TOKEN", "SSLKEYLOGFILE", "HF_TOKEN"},
)
"""Optional credentials that openai, httpx and huggingface_hub look for by themselves, in the app's own lines."""

_MODEL_KEY = re.compile(
    r"(OPEN_?AI|LLM|GPT|OAI|(^|_)AI_|MODEL|CHAT|EMBED).*(KEY|TOKEN|SECRET)$|^API_?(KEY|TOKEN)$|^(OPEN_?AI|LLM|GPT)$"
)
_NAME = re.compile(r"[A-Za-z]\w*(?:key|token|secret)\b", re.IGNORECASE)
_KEY_WORD = re.compile(
    r"\b(?:api.?(?:key|token)|(?<!foreign )(?<!primary )(?<!duplicate )(?<!unique )key|credentials?)\b", re.IGNORECASE
)
"""A key of the model's, and none of a database's."""
_LACK = re.compile(
    r"\b(?:no|not|non\w+|missing|without|lacks?|set|unset|needs?|requires?d?|provided?|empty|invalid|find)\b",
    re.IGNORECASE,
)
_LACKING_SETTINGS = re.compile(
    r"^((?:\w*_)?(?:open_?ai|llm|gpt)(?:\.\w+)*)\n\s+Field required", re.IGNORECASE | re.MULTILINE
)
"""Settings within settings, of which pydantic lacks all, or one: ``openai``, ``openai.api_key``."""
_MAYBE_A_MODEL = frozenset({"LLM", "GPT"})
"""What may be settings within settings, with a key among them, or the name of a model."""
_NO_FILE = re.compile(r"FileNotFoundError: .*: '([^']+)'")
_KEY_FILE = re.compile(r"key|secret|token|openai|credential", re.IGNORECASE)
_LAST_LINES = 3
_NO_VARIABLES = frozenset({"api_key", "apikey", "api_token"})
"""What arguments and attributes are called as well."""
_OF_CODE = ("TypeError", "NameError", "ImportError", "SyntaxError")
"""Exceptions whose names are the program's own, and no variable's."""


def delivered_names(facts: Facts) -> frozenset[str]:
    """The variables that the deployment's deliveries set, or hold in a ``.env``."""
    names = set()
    for delivery in facts.deployment.delivered:
        scheme, _, target = delivery.partition(":")
        if scheme == "env":
            names.add(target)
        elif scheme == "dotenv":
            names.add(target.partition(":")[2] or OPENAI_KEY)
    return frozenset(names)


def names_model_key(name: str) -> bool:
    """Whether a variable of this name is one that an app would take its key of the model from."""
    return bool(_MODEL_KEY.search(name.upper())) and name not in LIBRARIES_LOOK_UP


def lookups(process: Process) -> tuple[EnvironmentMiss, ...]:
    """The look-ups that missed, in order, with those that only an exception tells of.

    A settings library reads the environment as a whole; when it gives up it names the variable or the field that it
    lacks (``'Settings' object has no attribute 'OPENAI_KEY'``, ``openai_key  Field required``).
    """
    seen = {miss.name for miss in process.environment_misses if miss.where}
    if any(sight.state == "match" and sight.shown == "<key>" for sight in process.environment.values()):
        seen |= _MAYBE_A_MODEL
    told = [
        EnvironmentMiss(failure.at, name, failure.where, failure.later)
        for failure in process.failures
        for name in names_in(failure)
        if name not in seen
    ]
    return tuple(sorted((*process.environment_misses, *told), key=lambda each: each.at))


def names_in(failure: Failure) -> Iterator[str]:
    """The variables that an exception names as what it lacks, in capitals."""
    if failure.type.endswith(_OF_CODE):
        return
    if failure.asked:
        yield from failure.asked
        return
    # A dictionary's keys are written small, as fields of settings are.
    yield from (name.upper().replace(".", "__") for name in _LACKING_SETTINGS.findall(failure.message))
    fields = not failure.type.endswith("KeyError")
    for word in dict.fromkeys(_NAME.findall(failure.message)):
        if (fields or word.isupper()) and word not in _NO_VARIABLES and word.upper() not in LIBRARIES_LOOK_UP:
            yield word.upper()


def read_by_settings(text: str, name: str) -> bool:
    """Whether this line asks something else than the environment itself (which reads no file) for the variable."""
    directly = re.search(rf"(?:environ(?:\.\w+)?|getenv)\s*[\[(]\s*[\"']{re.escape(name)}\b", text)
    return name in text and directly is None


def undecided(facts: Facts, process: Process) -> bool:
    """Whether the process has not come to its key yet, and can: the key is a file that it reads when it needs it.

    A ``.env`` is loaded at start as a rule; that it was not counts unless a request was to make the process need it.
    What keeps a key in a module's name (starlette's ``Config``) and has children of its own make all its calls, such as
    a pool, shows it only in them.
    """
    if process.key.state == "missing" and _children_have_it(facts, process):
        return True
    ways = {way.partition(":")[0] for way in facts.deployment.delivered}
    loaded = any(load.key.state == "match" for load in process.dotenv)
    by_dotenv = "dotenv" in ways and facts.deployment.driven and (loaded or not process.dotenv)
    there = loaded or "readable" in process.files.values()
    if process.key.state != "missing" or not there or not ("file" in ways or by_dotenv):
        return False
    # What it has forked works for it, and may have needed the key in its stead, and not found it.
    lacking = [each for each in _forked(facts).get(id(process), ()) if each.key.state != "match"]
    return not any(_tried(facts, each) for each in (process, *lacking))


def _children_have_it(facts: Facts, process: Process) -> bool:
    """Whether all calls that this process was to make were made by children of its own, with the delivered key."""
    drive = process.drive
    if drive is None or drive.outcome != "called" or any(map(about_keys, process.errors)):
        return False
    children = {each.pid: each for each in _forked(facts).get(id(process), ())}
    return bool(drive.helpers) and all(pid in children and proven(children[pid]) for pid in drive.helpers)


@remembered
def _forked(facts: Facts) -> Mapping[int, tuple[Process, ...]]:
    """The children of each process, by the id of its object: pids are a container's own."""
    found: dict[int, tuple[Process, ...]] = {}
    for replica in facts.replicas:
        by_parent: dict[int, list[Process]] = {}
        for process in replica.processes:
            by_parent.setdefault(process.ppid, []).append(process)
        found.update({id(p): tuple(by_parent[p.pid]) for p in replica.processes if p.pid in by_parent})
    return found


def _tried(facts: Facts, process: Process) -> bool:
    """Whether the process came to the point at which it needs its key."""
    names = {OPENAI_KEY, *delivered_names(facts)}
    return bool(
        process.clients
        or process.errors
        or any(call.via != "rollcall" for call in process.calls)
        or any(miss.name in names and not _goes_on(process, miss) for miss in process.environment_misses)
        or any(map(about_key, process.failures))
        or any(files_missed(facts, process))
    )


def _goes_on(process: Process, miss: EnvironmentMiss) -> bool:
    """Whether what missed the variable looks into a ``.env`` next (decouple, Starlette's ``Config``).

    Whether it was there is seen when a request has been answered with it, or without.
    """
    answered = process.drive is not None and process.drive.answer is not None
    return not answered and bool(miss.where) and read_by_settings(miss.where[0].text, miss.name)


def files_missed(facts: Facts, process: Process) -> Iterator[tuple[str, Failure]]:
    """The files that the app would take its key from and that are not there, with what it failed with."""
    given = [way.partition(":")[2].partition(":")[0] for way in facts.deployment.delivered if ":" in way]
    names = {path.rpartition("/")[2] for path in given}
    gone = tuple(path for path, state in process.files.items() if state == "absent")
    for failure in process.failures:
        for path in _NO_FILE.findall(f"{failure.type}: {failure.message}"):
            name = path.rpartition("/")[2]
            there = path.endswith(tuple(given)) and not path.endswith(gone)
            if not there and (name in names or is_dotenv(name) or _KEY_FILE.search(path)):
                yield path, failure


def speaks_of_key(process: Process) -> bool:
    """Whether what the process ended with is the lack of a key, in words of the app's own."""
    if process.failures:
        return any(map(about_key, process.failures))
    # sys.exit("set your API key") leaves nothing but its words.
    lines = [line for line in process.log_tail.splitlines() if line.strip()][-_LAST_LINES:]
    return any(_LACK.search(line) and _speaks(line) for line in lines)


def about_key(failure: Failure) -> bool:
    """Whether an exception speaks of a key: in its words, or, where it has none (``assert API_KEY``), in its line.

    So does the line that would have somebody at a terminal enter the key (``getpass("Your OpenAI key: ")``).
    """
    return _speaks(_said(failure))


def _speaks(text: str) -> bool:
    return bool(_KEY_WORD.search(text)) or any(map(names_model_key, _NAME.findall(text)))


def last_words(process: Process) -> str:
    """What the process said when it failed, or else the deployment before it ended."""
    return "\n".join(f"{each.type}: {_said(each)}" for each in process.failures) or process.log_tail


def _said(failure: Failure) -> str:
    """Its words, or where it has none of its own the line that it came of."""
    said = "" if failure.type.endswith("EOFError") else failure.message
    return said or (failure.where[0].text if failure.where else "")
