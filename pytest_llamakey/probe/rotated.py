"""What processes told of keys that have since been changed, in the words of today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.secrecy.keys import Secrets

_Sight = Mapping[str, Any]
EARLIER = {"state": "different", "shown": "<earlier key>"}
MATCH = {"state": "match", "shown": "<key>"}


def rotated(record: ProcessRecord, secrets: Secrets) -> ProcessRecord:
    """``record`` of a process that was started with the key before: its probe takes that one for the delivered key.

    The key of today is a foreign one to it, and told by its fingerprint.
    """
    before = replace(secrets, canary=secrets.earlier[0], earlier=())
    today = before.sight(secrets.canary).shown

    def translated(sight: _Sight) -> _Sight:
        if dict(sight) == MATCH:
            return EARLIER
        return MATCH if sight["shown"] == today else sight

    hello = record.hello
    env = _mapped(hello.env, translated)
    parent = None if hello.parent_env is None else _mapped(hello.parent_env, translated)
    events = tuple(replace(event, data=MappingProxyType(_mapped(event.data, translated))) for event in record.events)
    return replace(record, hello=replace(hello, env=env, parent_env=parent), events=events)


def _mapped(value: Any, translated: Callable[[_Sight], _Sight]) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == MATCH.keys():
            return translated(value)
        return {name: _mapped(each, translated) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(each, translated) for each in value]
    return value
