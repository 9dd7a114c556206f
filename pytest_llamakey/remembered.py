"""What is worked out of facts once, however often it is asked for: every cause looks at the same symptoms."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_llamakey.facts import Facts

_Answer = TypeVar("_Answer")
_More = ParamSpec("_More")


def remembered(work: Callable[Concatenate[Facts, _More], _Answer]) -> Callable[Concatenate[Facts, _More], _Answer]:
    """``work``, done once for each object of facts and further (hashable) arguments: facts are frozen.

    The answer is kept on the object, as :func:`functools.cached_property` does, and is none of its fields: comparing,
    copying and writing facts pass it over.
    """
    name = f"_{work.__module__}.{work.__qualname__}"

    @wraps(work)
    def look(facts: Facts, *more: _More.args, **named: _More.kwargs) -> _Answer:
        kept = vars(facts).setdefault(name, {})
        key = (more, tuple(named.items()))
        if key not in kept:
            kept[key] = work(facts, *more, **named)
        return cast("_Answer", kept[key])

    return cast("Callable[Concatenate[Facts, _More], _Answer]", look)
