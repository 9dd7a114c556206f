"""What a compose file leaves no doubt about: which of its services is under test, and how that one gets its key."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pytest_llamakey.secrecy.keylike import names_key
from pytest_llamakey.spec import dotenv_file
from pytest_llamakey.spec.compose_values import interpolated
from pytest_llamakey.spec.model import OPENAI_KEY, KeyDelivery, Origin, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_llamakey.spec.compose import ComposeFacts, Service

PROJECT_ENV = ".env"
"""Beside the compose file, what it is filled in from (docs.docker.com/compose/how-tos/environment-variables)."""


def under_test(facts: ComposeFacts, name: str | None, origin: Origin | None) -> Service:
    """The service called ``name``, else the only one that can be meant: the one that is built, or has ports.

    Raises:
        SpecError: there is none, or there are several; the message names them and the line to add.
    """
    services = facts.services
    here = origin or Origin(facts.files[0], 0)
    if name is not None:
        if name not in services:
            raise SpecError(f'{facts.files[0]} has no service "{name}"; it has {_listed(services)}', here)
        return services[name]
    built = [one for one in services.values() if one.build is not None]
    published = [one for one in services.values() if one.has_ports]
    both = [one for one in built if one.has_ports]
    for found in (built, both, published, list(services.values())):
        if len(found) == 1:
            return found[0]
    if not services:
        raise SpecError("the compose file has no services", Origin(facts.files[0], 0))
    candidates = both or built or published or list(services.values())
    names = _listed(one.name for one in candidates)
    raise SpecError(f'which service is under test? Add service = "{candidates[0].name}" (candidates: {names})', here)


def delivered_by(facts: ComposeFacts, service: Service, folder: Path) -> tuple[KeyDelivery, Origin] | None:
    """How the key comes to ``service`` by what the files in ``folder`` say, and the line that says it.

    ``None``: by nothing else than the variable ``OPENAI_API_KEY`` of the ``docker compose`` call, or not at all.

    Raises:
        SpecError: a ``.env`` file that may bring it cannot be read.
    """

    def names_in(name: str) -> tuple[str, ...]:
        shown = str(PurePosixPath(facts.files[0]).parent / name)
        return tuple(dotenv_file.values(folder / name, shown, interpolate=False))

    given = [one for one in service.environment.values() if names_key(one.name)]
    for variable in given:
        beside = names_in(PROJECT_ENV)
        used = [name for name in interpolated(variable.written or "") if name in beside and name != OPENAI_KEY]
        if used:
            return KeyDelivery("dotenv", PROJECT_ENV, used[0]), variable.origin
    if given:
        return None
    for file in service.env_files:
        known = names_in(file.text)
        name = next((name for name in (OPENAI_KEY, *known) if name in known and names_key(name)), None)
        missing = file.required and not interpolated(file.text) and not (folder / file.text).exists()
        if name or missing:
            return KeyDelivery("dotenv", file.text, name or OPENAI_KEY), file.origin
    for use in service.secrets:
        if names_key(use.source) and use.source in facts.secrets:
            return KeyDelivery("file", facts.secrets[use.source].text), use.origin
    return None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
