"""The commands that a start script or a command line runs, the program of each, and which of them are Celery's."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

SERVERS = ("gunicorn", "uvicorn", "hypercorn", "fastapi", "flask", "granian")
CELERY = "celery"
_BROKERS = ("redis-server", "rabbitmq-server")
_BETWEEN = ";&|()"
_CONTINUED = re.compile(r"\\\n\s*")
_REDIRECTED = re.compile(
    r"""("(?:\\.|[^"\\])*"|'[^']*'|\\.)|"""  # what is quoted stays
    r"""(?:(?<![^\s;&|()])\d+)?(?:&>>?|[<>]+[&|]?)\s*(?:"[^"]*"|'[^']*'|[^\s;&|()]+)"""
)
_APP = re.compile(r"^(?:--app=|-A)(.+)$")
_DETACHES = {"-D", "--detach", "--daemon"}


@dataclass(frozen=True)
class Command:
    """One simple command; ``stays``: what stands behind it in the script waits until it has ended."""

    words: tuple[str, ...]
    stays: bool = True

    @property
    def program(self) -> str:
        """The server that it is known for, whatever starts that (``exec``, ``python -m``, ``uv run``); else empty."""
        names = (PurePosixPath(word).name for word in self.words)
        return next((name for name in names if name in {*SERVERS, *_BROKERS, CELERY}), "")

    @property
    def serves(self) -> bool:
        """Whether it is a web server."""
        return self.program in SERVERS

    @property
    def may_serve(self) -> bool:
        """Whether it is a web server, or nothing that is known."""
        return self.serves or not (self.program or self.words[0] == "wait")

    @property
    def is_celery_worker(self) -> bool:
        """Whether it is Celery's worker, and not its beat or monitor."""
        return self.program == CELERY and "worker" in self.words

    @property
    def is_broker(self) -> bool:
        """Whether it is a broker that Celery's work goes through."""
        return self.program in _BROKERS

    @property
    def celery_app(self) -> str:
        """What stands behind ``-A``, empty where nothing does."""
        for word, following in zip(self.words, (*self.words[1:], ""), strict=True):
            if word in {"-A", "--app"}:
                return following
            if match := _APP.match(word):
                return match[1]
        return ""


def commands_in(text: str) -> tuple[Command, ...]:
    """The simple commands of a shell script, in order; a line that is no shell is split at its blanks."""
    found: list[Command] = []
    for line in _CONTINUED.sub(" ", text).splitlines():
        words: list[str] = []
        for word in (*_words(line), ";"):
            if word and set(word) <= set(_BETWEEN):
                if words:
                    detached = word == "&" or bool(_DETACHES & set(words))
                    found.append(Command(tuple(words), stays=not detached))
                words = []
            else:
                words.append(word)
    return tuple(found)


def run_beside(command: Command, commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """Those of the script's ``commands`` that go on while ``command`` runs: detached ones, and the last one."""
    at, last = commands.index(command), commands[-1]
    before = [each for each in commands[:at] if not each.stays]
    behind = [] if command.stays else [each for each in commands[at + 1 :] if not each.stays or each is last]
    return (*before, *behind)


def _words(line: str) -> list[str]:
    # The `&` of `2>&1` parts no commands.
    line = _REDIRECTED.sub(lambda found: found[1] or " ", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=_BETWEEN)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return line.split()
