"""Temporary folders of runs that are dead, and how they are told from those of the living.

Beside each folder lies its mark, made before the folder: a file of the same name and :data:`SUFFIX` that its run
holds locked. The lock is ``flock(2)``: the kernel gives it up when the run dies, in whatever way, and shows it to every
process that sees the file, in another container too; a pid would say nothing there, nor once it is given anew. So a
mark that can be locked is that of a dead run, and its folder may go. Only the standard library: the reaper's child,
which sweeps, loads this by itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator  # noqa: TC003 - free here; typing, which would tell it apart, is not

SUFFIX = ".alive"
_MARK = re.compile(r"((?:pytest-)?llamakey-[\w-]+)" + re.escape(SUFFIX))
_PORT = re.compile(r"llamakey-port-(\d+)-\d+\.lock")
# A lock taken by macOS does not show in a Linux machine on it that shares the folder.
_CONTENT = f"pytest-llamakey {sys.platform}\n".encode()


class FolderMark:
    """The mark of one folder, locked until :meth:`lift`."""

    def __init__(self, folder: str) -> None:
        """Make it and lock it.

        Raises:
            OSError: it cannot be made; nothing of it is left then.
        """
        self._path = folder + SUFFIX
        self._descriptor = self._made()

    def stands(self) -> bool:
        """Whether the file is still there: another process of a run that shares the folder may have removed both."""
        return _is_at(self._descriptor, self._path)

    def lift(self) -> None:
        """Remove it: the folder is gone, or is to stay."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - pathlib would be loaded for nothing else
        self.leave()

    def leave(self) -> None:
        """Unlock it, and leave it: a folder that could not be removed is the next run's."""
        os.close(self._descriptor)

    def _made(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if _is_at(descriptor, self._path):  # else a sweeper was faster than the lock
                    os.pwrite(descriptor, _CONTENT, 0)
                    return descriptor
            except OSError:
                with contextlib.suppress(OSError):
                    os.unlink(self._path)  # noqa: PTH108
                os.close(descriptor)
                raise
            os.close(descriptor)


def keep_through_power_cut(folder: str) -> None:
    """Have the content of ``folder``'s mark on the disk: that it is there alone proves nothing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def forget(folder: str) -> None:
    """Remove the mark of a folder that is gone, whoever holds it."""
    with contextlib.suppress(OSError):
        if not os.path.lexists(folder):
            os.unlink(folder + SUFFIX)  # noqa: PTH108


def sweep(temporary: str, end: Callable[[str], None]) -> None:
    """Give ``end`` each folder in ``temporary`` that a dead run of this user has left; it is to remove it.

    Locks of ports that nobody holds go too. What belongs to another user is left, and so is a link, and whatever has
    but the name.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(temporary):  # noqa: PTH208
            path = os.path.join(temporary, name)  # noqa: PTH118
            if (found := _MARK.fullmatch(name)) is not None:
                folder = os.path.join(temporary, found[1])  # noqa: PTH118
                with held_alone(path) as descriptor:
                    if descriptor is not None and os.pread(descriptor, len(_CONTENT) + 1, 0) == _CONTENT:
                        if _is_our_folder(folder):
                            end(folder)
                        forget(folder)
            elif (port := _PORT.fullmatch(name)) is not None and int(port[1]) == os.getuid():
                remove_lock(path)


def remove_lock(path: str) -> None:
    """Remove this lock file unless somebody holds it."""
    with held_alone(path) as descriptor, contextlib.suppress(OSError):
        if descriptor is not None:
            os.unlink(path)  # noqa: PTH108


@contextlib.contextmanager
def held_alone(path: str) -> Iterator[int | None]:
    """The open file at ``path``, which nobody else has locked; ``None`` where it is locked, not a file, or not ours."""
    try:
        # O_NONBLOCK: a pipe of that name must not be waited for.
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield None
        return
    try:
        yield descriptor if _is_ours_alone(descriptor, path) else None
    finally:
        os.close(descriptor)


def _is_ours_alone(descriptor: int, path: str) -> bool:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return _is_at(descriptor, path)  # else its holder has removed it meanwhile, and the next one made it anew


def _is_at(descriptor: int, path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _is_our_folder(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
