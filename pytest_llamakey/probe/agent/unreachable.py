"""Tells what only waits for the collector, without running it: that takes long, and writes to pages that forks share.

It is the collector's own way (github.com/python/cpython, InternalDocs/garbage_collector.md, "Identifying reference
cycles"), but looks only at what one object leads to: where all references to these come from among themselves, or
from some that do not lead back to the object, nobody has it any more.
"""

import gc
import sys

from pytest_llamakey.probe.agent.base import peek

_MOST = 5000  # objects that one leads to; what leads to more is left to the collector


def unreachable(things, doubtful):
    """Those of ``doubtful``, ids in ``things``, that nothing alive leads to; of others nothing is said."""
    shared = {id(peek(module, "__dict__")) for module in list(sys.modules.values())}
    shared.add(id(sys.modules))
    return {number for number in doubtful if not _may_be_had(things, number, shared)}


def _may_be_had(things, number, shared):
    inside = {0: []}  # type: ignore[var-annotated]  # nothing else holds this list: it shows what the looking counts
    waiting = [things[number]]
    while waiting and len(inside) <= _MOST:
        one = waiting.pop()
        if id(one) not in inside:
            inside[id(one)] = one
            waiting.extend([other for other in gc.get_referents(one) if _is_part(other, shared)])
    if waiting:
        return True
    counts = dict.fromkeys(inside, 0)
    for one in inside.values():
        for other in gc.get_referents(one):
            if id(other) in counts:
                counts[id(other)] += 1
    one = other = None  # or they would count
    surplus = {key: sys.getrefcount(inside[key]) - counts[key] - (key in things) for key in list(inside)}
    reached, leading = set(), [key for key in inside if surplus[key] > surplus[0]]
    while leading:
        key = leading.pop()
        if key not in reached:
            reached.add(key)
            leading.extend([id(other) for other in gc.get_referents(inside[key]) if id(other) in inside])
    return number in reached


def _is_part(thing, shared):
    """Not a class, a module, or a module's names, by which everything leads to everything."""
    return gc.is_tracked(thing) and not issubclass(type(thing), (type, type(sys))) and id(thing) not in shared
