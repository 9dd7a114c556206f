"""``Facts`` in, ``Finding``s out: one file a cause, found by looking into this package.

To add a cause, add one file with a subclass of :class:`~pytest_llamakey.causes.base.Cause`.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import Cause
from pytest_llamakey.causes.nearest import explain
from pytest_llamakey.causes.precedence import apply, rank

if TYPE_CHECKING:
    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding

__all__ = ["Cause", "causes", "diagnose"]


@lru_cache(maxsize=1)
def causes() -> tuple[Cause, ...]:
    """One instance of every cause in this package, root causes first."""
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    found = {
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, Cause) and not inspect.isabstract(thing)
    }
    return tuple(sorted((cause() for cause in found), key=lambda cause: rank(cause.name)))


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """Why the deployment is wrong: every symptom in ``facts`` is explained, and each worker's root cause named once."""
    found = [finding for cause in causes() for finding in cause.find(facts)]
    explains = {cause.name: cause.explains for cause in causes()}
    found.extend(explain(facts, found, explains))
    return apply(facts, found)
