"""What a census suggests: which processes differ, and the cause that this usually has.

From outside only the environment is seen that a process was started with. What its code loads later (``load_dotenv()``,
a settings class) is not, so this names suspects; ``pytest --llamakey`` proves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_llamakey.census.model import Changed, Held, Place, Process

DEFAULT_VARIABLE = "OPENAI_API_KEY"
CLOCK_SECONDS = 2.0
"""How far the time of a start (told from the boot's, in whole seconds) and that of a change may be off each other."""


@dataclass(frozen=True)
class Suspicion:
    """A cause that what was seen suggests, and for whom; ``cause`` is empty where only a difference is to be told.

    ``other`` is a cause that looks the same from outside.
    """

    cause: str
    place: str
    pids: tuple[int, ...]
    told: str
    other: str = ""


def suspicions(places: Sequence[Place], variables: Sequence[str] = ()) -> list[Suspicion]:
    """Everything suspicious in all places together, those of one target."""
    names = names_in(places, variables)
    found = []
    for place in places:
        kin = [other for other in places if other.kin == place.kin]
        # What another part of the deployment holds this one need not; a part that holds nothing may need none.
        wanted = names if variables or len(kin) == len(places) else _held_in(kin)
        for name in names:
            found += list(_lacking(place, name)) if name in wanted else []
            found += list(_odd(place, name))
        found += list(_older_than_source(place, names))
    for name in names:
        found += list(_differing(places, name))
    return found


def names_in(places: Sequence[Place], variables: Sequence[str] = ()) -> list[str]:
    """The variables that every process is to hold: ``variables``, or all that any of them holds or is to be given.

    ``OPENAI_API_KEY`` where there is none at all.
    """
    return list(variables) or sorted(_held_in(places)) or [DEFAULT_VARIABLE]


def _held_in(places: Sequence[Place]) -> set[str]:
    held = {name for place in places for process in place.processes for name in process.held or ()}
    return held | {name for place in places for name in place.declared or ()}


def _judged(place: Place) -> list[Process]:
    """The processes whose environment matters and was seen."""
    return [each for each in place.pythons if each.role != "helper" and each.held is not None]


def _lacking(place: Place, name: str) -> Iterator[Suspicion]:
    """Those that were started without the variable: cleared on the way, or never given."""
    without = [each for each in _judged(place) if name not in (each.held or {})]
    cleared = [each for each in without if _had(place, each, name)]
    missing = [each for each in without if each not in cleared]
    if cleared:
        above = next((each for each in place.ancestors(cleared[0]) if name in (each.held or {})), None)
        holder = (
            f"process {above.pid} above ({' '.join(above.command[:4])}) has it" if above else "the container has it"
        )
        yield _suspicion("env-cleared", place, cleared, f"started without {name}, while {holder}")
    if missing:
        dotenv = next((one.source for each in missing for one in each.files if one.source.endswith("/.env")), "")
        loads = f"; {dotenv} is there, and what is loaded of it later cannot be seen from outside" if dotenv else ""
        yield _suspicion("key-missing", place, missing, f"started without {name}{loads}")


def _had(place: Place, process: Process, name: str) -> bool:
    above = place.ancestors(process)
    return any(name in (each.held or {}) for each in above) or (bool(place.declared) and name in (place.declared or {}))


def _odd(place: Place, name: str) -> Iterator[Suspicion]:
    """Those whose value is empty or bears what no key has."""
    holding = [(each, each.held[name]) for each in _judged(place) if each.held and name in each.held]
    empty = [each for each, held in holding if not held.shown]
    if empty:
        cause, other = ("variable-unset", "key-missing") if place.composed else ("key-missing", "variable-unset")
        told = f"started with {name} set to nothing: written so, or made of a variable that nobody set"
        yield replace(_suspicion(cause, place, empty, told), other=other)
    for odd in sorted({held.odd for _each, held in holding if held.odd}):
        of_it = [each for each, held in holding if held.odd == odd]
        yield _suspicion("key-mangled", place, of_it, f"started with {name} written with {' and '.join(odd)}")


def _differing(places: Sequence[Place], name: str) -> Iterator[Suspicion]:
    """Those that hold another value than their container was given, or than those of their kind that started last."""
    replaced = {id(each) for place in places for each in _judged(place) if _is_replaced(place, each, name)}
    for place in places:
        own = [each for each in _judged(place) if id(each) in replaced]
        if own:
            told = f"hold another {name} than their container was given: it was replaced on the way"
            yield _suspicion("key-overwritten", place, own, told)
    kinds = {kin: [place for place in places if place.kin == kin] for kin in dict.fromkeys(p.kin for p in places)}
    for kin in kinds.values():
        holding = [(place, each, held) for place in kin for each in _judged(place) if (held := _value(each, name))]
        holding = [one for one in holding if id(one[1]) not in replaced]
        if not holding:
            continue
        newest = max(holding, key=lambda one: one[1].started)[2].shown
        for place in kin:
            older = [each for where, each, held in holding if where is place and held.shown != newest]
            if older:
                told = f"hold another {name} ({_shown(older, name)}) than what started after them ({newest})"
                yield _suspicion("stale-key", place, older, told)
    yield from _unlike(list(kinds.values()), name)


def _unlike(kinds: Sequence[Sequence[Place]], name: str) -> Iterator[Suspicion]:
    """Parts of one deployment, each one with itself, that hold different values: no cause can be told from that."""
    held = [{h.shown for place in kin for each in _judged(place) if (h := _value(each, name))} for kin in kinds]
    shown = [next(iter(values)) if len(values) == 1 else "" for values in held]
    for kin, own in zip(kinds, shown, strict=True):
        if own and shown[0] and own != shown[0]:
            for place in kin:
                told = f"hold another {name} ({own}) than {kinds[0][0].name} ({shown[0]})"
                yield _suspicion("", place, [each for each in _judged(place) if _value(each, name)], told)


def _is_replaced(place: Place, process: Process, name: str) -> bool:
    given, held = (place.declared or {}).get(name), _value(process, name)
    return given is not None and bool(given.shown) and held is not None and held.shown != given.shown


def _shown(processes: Sequence[Process], name: str) -> str:
    return ", ".join(dict.fromkeys(held.shown for each in processes if (held := _value(each, name))))


def _value(process: Process, name: str) -> Held | None:
    held = (process.held or {}).get(name)
    return held if held is not None and held.shown else None


def _older_than_source(place: Place, names: Sequence[str]) -> Iterator[Suspicion]:
    """Those that were started before what their key comes from was changed last."""
    of_process = {id(each): _own_files(each, names) for each in _judged(place)}
    changes = {one.source: one for one in (*place.changed, *(one for own in of_process.values() for one in own))}
    for source, change in changes.items():
        own = [e for e in _judged(place) if change in place.changed or change in of_process[id(e)]]
        concerned = [e for e in own if not (change.keyless and _holds_one(e, names))]
        older = [each for each in concerned if each.started + CLOCK_SECONDS < change.at]
        if older:
            told = f"started before {source} was changed last: what was read at start is of before"
            yield _suspicion("stale-key", place, older, told)


def _own_files(process: Process, names: Sequence[str]) -> list[Changed]:
    """What it may have read its key from; a ``.env`` only where its environment has none."""
    given = _holds_one(process, names)
    return [one for one in process.files if not (given and one.source.endswith("/.env"))]


def _holds_one(process: Process, names: Sequence[str]) -> bool:
    return any(_value(process, name) for name in names)


def _suspicion(cause: str, place: Place, processes: Sequence[Process], told: str) -> Suspicion:
    return Suspicion(cause, place.name, tuple(each.pid for each in processes), told)
