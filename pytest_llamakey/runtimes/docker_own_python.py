"""An image of the interpreter that runs pytest, for what has to run beside an app whose own image has no Python.

It holds what the interpreter loads for the two programs that run in it, and nothing else: some megabytes, made in a
second, of no registry. It stays for the next run, until this interpreter is another. Works where the engine's machine
is of this machine's kind.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import ImageNotFound

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker_build import BUILD_LABEL, remove_others
from pytest_llamakey.runtimes.docker_engine import engine_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

OWN_PYTHON = "/python"
_REPOSITORY = "pytest-llamakey-python"
_LIST_SECONDS = 30
# The modules of the warden and the relay, and the files that the kernel and the interpreter have opened for them.
_LISTING = """
import asyncio, encodings.ascii, encodings.latin_1, encodings.idna, functools, json, os, select, signal, socket, struct
import sys, time
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
with open("/proc/self/maps") as maps:
    files += [line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6]
print("\\n".join(sorted({os.path.abspath(file) for file in files if file.startswith("/") and os.path.isfile(file)})))
"""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def own_python(client: docker.DockerClient) -> str:
    """The id of the image, made where the engine has it not yet; its Python is :data:`OWN_PYTHON`.

    Raises:
        RuntimeFault: the engine's machine could not run it, or it cannot be made of this Python.
    """
    with engine_words("Asking for the engine's version"):
        told = client.version()
    there, here = f"{told['Os']}/{told['Arch']}", platform.machine()
    if sys.platform != "linux" or there != f"linux/{_ARCHITECTURES.get(here, here)}":
        raise RuntimeFault(
            f"There is no Python in the app's image, and that of this machine ({sys.platform}, {here}) does not run on "
            f"the engine's ({there}), so the app's processes cannot be looked at. Run pytest on a Linux machine of the "
            "engine's kind, or add python3 to the image."
        )
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    try:
        archive = _packed(base)
    except OSError as error:
        raise _unmade(f"{error.filename or base} cannot be read: {error.strerror or error}") from error
    name = f"{_REPOSITORY}:{hashlib.sha256(archive).hexdigest()[:16]}"
    with engine_words("Making an image of this Python"):
        try:
            return str(client.images.get(name).id)
        except ImageNotFound:
            repository, _, tag = name.partition(":")
            home = f"ENV PYTHONHOME={sys.base_prefix} PYTHONDONTWRITEBYTECODE=1"
            # By its path: interpreters that are used in turn keep an image each.
            label = hashlib.sha256(os.fsencode(base)).hexdigest()[:32]
            client.api.import_image_from_data(
                archive, repository=repository, tag=tag, changes=[home, f"LABEL {BUILD_LABEL}={label}"]
            )
            image = str(client.images.get(name).id)
            remove_others(client, label, {image}, _REPOSITORY)
            return image


def _unmade(why: str) -> RuntimeFault:
    return RuntimeFault(
        f"There is no Python in the app's image, and none can be made of this machine's: {why}. So the app's processes "
        "cannot be looked at. Add python3 to the image."
    )


def _packed(base: Path) -> bytes:
    """The archive of the image's files; the same for the same interpreter."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content, mode in _files(base):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo(OWN_PYTHON.lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, str(base)
        tar.addfile(link)
    return buffer.getvalue()


def _files(base: Path) -> Iterator[tuple[str, bytes, int]]:
    listed = _ran(str(base), "-I", "-S", "-B", "-c", _LISTING)
    if listed.returncode:
        last = next(iter(listed.stderr.splitlines()[-1:]), "without a word")
        raise _unmade(f"{base} ended with {listed.returncode} ({last})")
    names = {str(base), *listed.stdout.splitlines()}
    # The kernel finds the loader, and the loader the libraries, by other names than those that they are mapped by.
    linked = {library for name in names if name == str(base) or ".so" in name for library in _linked(Path(name))}
    for name in sorted(names | linked):
        real = Path(os.path.realpath(name))
        yield name, real.read_bytes(), 0o755 if os.access(real, os.X_OK) else 0o644


def _linked(binary: Path) -> set[str]:
    """The libraries that a program or a library is linked with, as the loader names them (ldd(1))."""
    words = (word for line in _ran("ldd", str(binary)).stdout.splitlines() for word in line.split())
    return {word for word in words if word.startswith("/") and Path(word).is_file()}


def _ran(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=_LIST_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise _unmade(f"{program} has not ended within {_LIST_SECONDS} s") from error
    except OSError as error:
        raise _unmade(f"{program} cannot be run: {error.strerror or error}") from error
