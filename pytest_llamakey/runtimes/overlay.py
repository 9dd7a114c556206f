"""A virtual environment that is laid over the interpreter that runs pytest, made by hand in a few milliseconds.

The app finds the same packages and commands there as beside pytest, and the probe besides; nothing is ever written into
the tester's own environment. The layout is the one that ``site`` and ``getpath`` look for: a ``pyvenv.cfg`` one folder
above ``bin/python`` whose ``home`` names the base interpreter's folder (docs.python.org/3/library/site.html, PEP 405).
"""

from __future__ import annotations

import os
import re
import shutil
import site
import stat
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHEBANG_LIMIT = 127
"""Bytes of a ``#!`` line that every supported kernel reads (execve(2): 127 before Linux 5.1, 512 on macOS)."""
_PYTHON = re.compile(rb"(python|pypy)[0-9.]*t?")
_EMBEDDING = frozenset({"uwsgi", "pyuwsgi"})
"""Programs with a Python inside, whose environment is the one that their own file lies in
(uwsgi-docs.readthedocs.io/en/latest/Changelog-1.9.15.html, PEP 405): a link would lead them to the tester's."""
_EXEC_LINE = re.compile(rb"'''exec' ")


@dataclass(frozen=True)
class Overlay:
    """A made overlay: ``bin`` goes first in the app's ``PATH``, ``python`` is its interpreter."""

    folder: Path

    @property
    def bin(self) -> Path:
        """Folder of the interpreter and of the console scripts."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """The interpreter that sees the tester's packages and the probe."""
        return self.bin / "python"

    @property
    def site_packages(self) -> Path:
        """Folder of the ``.pth`` files and of the probe."""
        prefix = str(self.folder)
        # posix_prefix, because Debian's and macOS's default schemes are other folders than a virtual environment's.
        return Path(sysconfig.get_path("purelib", "posix_prefix", vars={"base": prefix, "platbase": prefix}))


def make_overlay(folder: Path, files: Mapping[str, bytes]) -> Overlay:
    """Make an overlay in ``folder`` (which must not exist), with ``files`` (path → content) in its site-packages."""
    overlay = Overlay(folder)
    overlay.bin.mkdir(parents=True)
    overlay.site_packages.mkdir(parents=True)
    base = _base_interpreter()
    (folder / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\n"
        f"version = {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}\n"
    )
    for name in _interpreter_names():
        (overlay.bin / name).symlink_to(base)
    lay_files(overlay.site_packages, files)
    lines = [f"import site; site.addsitedir({str(path)!a})\n" for path in package_folders()]
    # Sorted after the probe's own .pth: packages whose .pth imports something are seen by the probe, too.
    (overlay.site_packages / "zz_llamakey_packages.pth").write_text("".join(lines))
    _lay_scripts(overlay)
    return overlay


def lay_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files`` (path → content) into ``folder``, with the folders that they need."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def package_folders() -> tuple[Path, ...]:
    """The site-packages folders of this interpreter, in the order in which it searches them."""
    found = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    found += site.getsitepackages()
    return tuple(dict.fromkeys(path for path in map(Path, found) if path.is_dir()))


def script_folders() -> tuple[Path, ...]:
    """Where installers put this interpreter's console scripts, beside itself first."""
    found = [Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))]
    if site.ENABLE_USER_SITE:
        found.append(Path(site.getuserbase()) / "bin")
    return tuple(dict.fromkeys(path for path in found if path.is_dir()))


def _base_interpreter() -> Path:
    base = Path(getattr(sys, "_base_executable", sys.executable))
    return base if base.exists() else Path(sys.executable).resolve()


def _interpreter_names() -> tuple[str, ...]:
    major, minor = sys.version_info[:2]
    return ("python", f"python{major}", f"python{major}.{minor}")


def _lay_scripts(overlay: Overlay) -> None:
    beside = Path(sys.executable).parent
    for folder in script_folders():
        names = frozenset({folder, folder.resolve()})  # ../venv/bin, or a linked home: its scripts may say another
        for entry in _executables(folder):
            target = overlay.bin / entry.name
            if os.path.lexists(target):
                continue
            try:
                content = Path(entry.path).read_bytes() if _is_script(entry.path) else None
            except OSError:  # unreadable for us: then the app may not run it either
                continue
            if content is not None:
                renewed = _with_interpreter(content, names, overlay.python)
                if renewed is not None:
                    target.write_bytes(renewed)
                    target.chmod(0o755)
                    continue
            if folder == beside and sys.prefix != sys.base_prefix and not _PYTHON.fullmatch(entry.name.encode()):
                # A program of another kind in the virtual environment (a server in Rust, a shell script).
                if entry.name in _EMBEDDING:
                    shutil.copy2(entry.path, target)
                else:
                    target.symlink_to(entry.path)


def _executables(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                mode = entry.stat().st_mode
            except OSError:  # a dangling link
                continue
            if stat.S_ISREG(mode) and mode & 0o111:
                yield entry


def _is_script(path: str) -> bool:
    with open(path, "rb") as stream:  # noqa: PTH123 - thousands of files in a /usr/bin; Path is measurably slower
        return stream.read(2) == b"#!"


def _with_interpreter(content: bytes, folders: frozenset[Path], python: Path) -> bytes | None:
    """``content`` with ``python`` as its interpreter, or ``None`` where its interpreter is in none of ``folders``.

    Knows the plain ``#!/path/python`` line, ``#!/usr/bin/env python``, and the ``/bin/sh`` form that installers write
    where the path is too long or has a space in it (pip's vendored distlib, ``scripts.py``; uv's relocatable scripts).
    """
    first, _, rest = content.partition(b"\n")
    words = first[2:].split()
    if not words:
        return None
    if _EXEC_LINE.match(rest) and words[0] == b"/bin/sh":
        command, _, rest = rest.partition(b"\n")
        if not any(os.fsencode(each) + b"/" in command for each in folders) and b"realpath" not in command:
            return None
        _, _, rest = rest.partition(b"\n")  # the line that closes the string for Python
        return _shebang(python, b"") + rest
    if words[0] == b"/usr/bin/env" and len(words) == 2 and _PYTHON.fullmatch(words[1]):  # noqa: PLR2004 - env and one word
        return _shebang(python, b"") + rest
    interpreter = Path(os.fsdecode(words[0]))
    if not _PYTHON.fullmatch(os.fsencode(interpreter.name)):
        return None
    if words[0] != os.fsencode(sys.executable) and not folders & {interpreter.parent, interpreter.parent.resolve()}:
        return None
    return _shebang(python, b" ".join(words[1:])) + rest


def _shebang(python: Path, options: bytes) -> bytes:
    path = os.fsencode(python)
    line = b"#!" + path + (b" " + options if options else b"")
    if len(line) <= SHEBANG_LIMIT and b" " not in path:
        return line + b"\n"
    return b"#!/bin/sh\n'''exec' \"" + path + b'" ' + (options + b" " if options else b"") + b"\"$0\" \"$@\"\n' '''\n"
