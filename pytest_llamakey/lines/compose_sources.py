"""The lines of compose files that have to do with the key, and the Dockerfile that the service is built from."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.facts import Place, SourceLine
from pytest_llamakey.secrecy.keylike import is_key, names_key
from pytest_llamakey.secrecy.masked import masked
from pytest_llamakey.spec import compose_values
from pytest_llamakey.spec.complete import read_compose

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.compose import Service, Variable
    from pytest_llamakey.spec.model import Deployment, Origin


def compose_lines(deployment: Deployment, root: Path, secrets: Secrets, names: Collection[str]) -> Iterator[SourceLine]:
    """The service's own line, then those that give it a key; ``names`` are the variables that are to bear it.

    Raises:
        SpecError: a compose file cannot be read.
    """
    facts = read_compose(deployment.folder, deployment.compose, root)
    service = facts.services[deployment.service or ""]
    texts = _Texts(root, secrets)
    yield SourceLine("service", texts.place(service.origin), service.name)
    for variable in service.environment.values():
        if _tells(variable, names):
            yield _line(variable, texts)
    if service.command is not None:
        yield SourceLine("command", texts.place(service.command.origin))


def built_from(deployment: Deployment) -> Deployment | None:
    """The service under test as an image of its Dockerfile; ``None`` where the files do not say which that is."""
    service = _service(deployment)
    build = service.build
    if build is None:
        return None
    context = (deployment.folder / deployment.compose[0]).parent / build.context
    if not (context / build.dockerfile).is_file():  # a remote one, or named by a variable
        return None
    command = None if service.command is None else (service.command.text,)
    return replace(
        deployment,
        folder=context.resolve(),
        build=".",
        dockerfile=build.dockerfile,
        image=None,
        command=deployment.command or command,
    )


def bearers(deployment: Deployment, names: Iterable[str]) -> tuple[str, ...]:
    """The variables of the service under test that are made of those called ``names``."""
    return tuple(
        variable.name
        for variable in _service(deployment).environment.values()
        if not {*names}.isdisjoint(_made_of(variable))
    )


def mounted(deployment: Deployment) -> dict[str, str]:
    """Where the files of secrets and configs that the service is granted lie in its container, by normal path."""
    facts = read_compose(deployment.folder, deployment.compose, deployment.folder)
    files = {name: posixpath.normpath(one.text) for name, one in facts.secrets.items()}
    return {
        files[use.source]: use.target for use in facts.services[deployment.service or ""].secrets if use.source in files
    }


def _service(deployment: Deployment) -> Service:
    facts = read_compose(deployment.folder, deployment.compose, deployment.folder)
    return facts.services[deployment.service or ""]


def _made_of(variable: Variable) -> tuple[str, ...]:
    return (variable.name,) if variable.written is None else compose_values.interpolated(variable.written)


def _tells(variable: Variable, names: Collection[str]) -> bool:
    words = (variable.name, *_made_of(variable))
    return any(word in names or names_key(word) for word in words) or is_key(variable.name, variable.written or "")


def _line(variable: Variable, texts: _Texts) -> SourceLine:
    written = variable.written
    if written is None:  # passed on from where compose is called
        return SourceLine("env", texts.place(variable.origin), variable.name, None, (variable.name,))
    literal = compose_values.literal_of(written)
    default = compose_values.default_of(written)
    key = texts.secrets.sight(literal) if literal is not None else texts.secrets.sight(default) if default else None
    place = texts.place(variable.origin, (literal or "", default))
    return SourceLine("env", place, variable.name, key, _made_of(variable))


class _Texts:
    """The files' lines as people may see them."""

    def __init__(self, root: Path, secrets: Secrets) -> None:
        self.root, self.secrets = root, secrets
        self._read: dict[str, list[str]] = {}

    def place(self, origin: Origin, values: Collection[str] = ()) -> Place:
        if origin.file not in self._read:
            text = (self.root / origin.file).read_text(encoding="utf-8-sig")
            self._read[origin.file] = text.splitlines()
        lines = self._read[origin.file]
        text = lines[origin.line - 1].strip() if 0 < origin.line <= len(lines) else ""
        return Place(origin.file, origin.line, masked(text, self.secrets, values))
