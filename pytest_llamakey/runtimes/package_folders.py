"""Finds the folders from which any Python of a container loads packages; runs in it, on whatever Python it has."""

from __future__ import annotations

import inspect


def package_folders():  # type: ignore[no-untyped-def] # noqa: ANN201 - read by Pythons that know no annotations
    """The folders, links resolved, sorted."""
    import os
    import site

    found = []
    for folder, names, _ in os.walk("/"):
        if folder == "/":
            names[:] = [n for n in names if n not in ("proc", "sys", "dev")]
        found += [os.path.join(folder, n) for n in names if n in ("site-packages", "dist-packages")]  # noqa: PTH118
    own = [p for p in getattr(site, "getsitepackages", list)() if os.path.isabs(p)]  # noqa: PTH117
    found += [p for p in own if os.path.isdir(p)] or own[:1]  # noqa: PTH112
    return sorted(set(os.path.realpath(p) for p in found))  # noqa: C401


SOURCE = inspect.getsource(package_folders)
"""The function as it is sent."""
