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
    """``record`` in the words of today, also where its probe was started before the key was changed.

    Such a probe takes the key before for the delivered one. The key of today is a foreign one to it, and told by its
    fingerprint. What a process that is over had told in a roll call says nothing of today.
    """
    if record.hello.earlier >= len(secrets.earlier):
        return record
    before = replace(secrets, canary=secrets.earlier[-1 - record.hello.earlier], earlier=())
    today = before.sight(secrets.canary).shown

    def translated(sight: _Sight) -> _Sight:
        if dict(sight) == MATCH:
            return EARLIER
        return MATCH if sight["shown"] == today else sight

    hello = record.hello
    env = _mapped(hello.env, translated)
    parent = None if hello.parent_env is None else _mapped(hello.parent_env, translated)
    told = [event for event in record.events if record.alive or event.kind != "rollcall"]
    events = tuple(replace(event, data=MappingProxyType(_mapped(event.data, translated))) for event in told)
    return replace(record, hello=replace(hello, env=env, parent_env=parent), events=events)


def _mapped(value: Any, translated: Callable[[_Sight], _Sight]) -> Any:
    if isinstance(value, Mapping):
        if value.keys() == MATCH.keys():
            return translated(value)
        return {name: _mapped(each, translated) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(each, translated) for each in value]
    return value
