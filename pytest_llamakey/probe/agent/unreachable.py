"""Tells what only waits for the collector, without running it: that takes long, and writes to pages that forks share.

It is the collector's own way (github.com/python/cpython, InternalDocs/garbage_collector.md, "Identifying reference
cycles"), but looks only at what one object leads to: where all references to these come from among themselves, or
from some that do not lead back to the object, nobody has it any more.
"""

import gc
import sys

from pytest_llamakey.probe.agent.base import peek

_MOST = 5000  # objects that all of them lead to; of what is left then nothing is said
_ON_STACKS = ("generator", "coroutine", "async_generator", "frame")  # on 3.14 these hold what they do not count


def unreachable(things, doubtful):
    """Those of ``doubtful``, ids in ``things``, that nothing alive leads to; of others nothing is said."""
    found, budget = set(), _MOST  # type: ignore[var-annotated]
    if not doubtful:
        return found
    shared = {id(peek(module, "__dict__")) for module in list(sys.modules.values())}
    shared.add(id(sys.modules))
    for number in doubtful:
        inside = _led_to(things[number], shared, budget)
        budget -= len(inside)
        # Twice: another thread may have moved what it holds between two looks.
        if budget > 0 and not any(_is_had(inside, things, number) for _look in range(2)):
            found.add(number)
    return found


def _led_to(thing, shared, most):
    """What ``thing`` leads to with itself, by id; the first is of nobody else, and shows what the looking counts."""
    inside = {0: []}  # type: ignore[var-annotated]
    waiting = [thing]
    while waiting and len(inside) <= most:
        one = waiting.pop()
        if id(one) not in inside:
            inside[id(one)] = one
            waiting.extend([other for other in gc.get_referents(one) if _is_part(other, shared)])
    return inside


def _is_had(inside, things, number):
    """Whether one of these that leads to ``things[number]`` is referred to from elsewhere."""
    # Both at once, in C: what is referred to by whom, and how often in all.
    to, counted = list(map(id, gc.get_referents(*inside.values()))), list(map(sys.getrefcount, inside.values()))
    counts = dict.fromkeys(inside, 0)
    for key in to:
        if key in counts:
            counts[key] += 1
    surplus = {key: counted[place] - counts[key] - (key in things) for place, key in enumerate(inside)}
    reached, leading = set(), [key for key in inside if surplus[key] > surplus[0]]
    while leading:
        key = leading.pop()
        if key not in reached:
            reached.add(key)
            leading.extend([id(other) for other in gc.get_referents(inside[key]) if id(other) in inside])
    return number in reached


def _is_part(thing, shared):
    """Not a class, a module, or a module's names, by which everything leads to everything."""
    kind = type(thing)
    if issubclass(kind, (type, type(sys))) or kind.__name__ in _ON_STACKS:
        return False
    return gc.is_tracked(thing) and id(thing) not in shared
