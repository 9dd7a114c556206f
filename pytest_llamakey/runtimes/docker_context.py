"""What is sent to a builder: the folder without what ``.dockerignore`` names and without real credentials."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.dotenv_guard import defuse_bytes, is_dotenv
from pytest_llamakey.secrecy.keys import DECOY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_llamakey.spec.model import Deployment

_OUTSIDE = ".llamakey.Dockerfile"
# Known to every builder without an ARG line: docs.docker.com/reference/dockerfile, "Predefined ARGs".
_PREDEFINED = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH"}


@dataclass(frozen=True)
class Context:
    """A build, ready to be sent. ``digest`` is the same for the same content, Dockerfile and arguments.

    ``tar`` is an unnamed temporary file (nothing is left behind, whatever happens), ``dockerfile`` the Dockerfile's
    name in it, ``path`` the Dockerfile's own path, for people.
    """

    tar: IO[bytes]
    digest: str
    dockerfile: str
    path: Path
    folder: Path
    build_args: Mapping[str, str]
    target: str = ""


def pack(deployment: Deployment, build_args: Mapping[str, str], target: str = "") -> Context:
    """The build context of ``deployment``; of ``build_args`` only those that its Dockerfile declares are taken.

    ``target`` is the stage that is built, empty for the last one.

    Raises:
        RuntimeFault: the folder or the Dockerfile is not there, or a file cannot be read.
    """
    folder = (deployment.folder / (deployment.build or ".")).resolve()
    path = folder / deployment.dockerfile
    origin = deployment.origin("dockerfile") or deployment.origin("build")
    told = f" (named in {origin})" if origin else ""
    if not folder.is_dir():
        raise RuntimeFault(f"There is no folder {folder} to build{told}. Correct `build`.")
    if not path.is_file():
        mend = "Correct `build` or `dockerfile`."
        if deployment.runtime == "systemd" and not told:
            mend = "A unit is booted in an image that has systemd: add one, or name a ready `image` (docs/systemd.md)."
        raise RuntimeFault(f"There is no Dockerfile at {path}{told}. {mend}")
    source = path.read_bytes()
    taken = {name: value for name, value in build_args.items() if name in declared_args(source) or _predefined(name)}
    inside = path.resolve().is_relative_to(folder)
    name = path.resolve().relative_to(folder).as_posix() if inside else _OUTSIDE
    digest = hashlib.sha256(json.dumps([name, sorted(taken.items()), target]).encode())
    stream = tempfile.TemporaryFile(prefix="llamakey-")  # noqa: SIM115 - the caller sends it and closes it
    try:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for info, content in _members(folder, name if inside else None, path):
                digest.update(json.dumps([info.name, info.mode, info.type.decode(), info.linkname]).encode())
                digest.update(hashlib.sha256(content).digest())
                tar.addfile(info, io.BytesIO(content))
            if not inside:
                info = tarfile.TarInfo(_OUTSIDE)
                info.size = len(source)
                digest.update(hashlib.sha256(source).digest())
                tar.addfile(info, io.BytesIO(source))
    except OSError as error:
        stream.close()
        raise RuntimeFault(
            f"The build context {folder} cannot be read: {error}. Mend it or name it in .dockerignore."
        ) from error
    stream.seek(0)
    return Context(stream, digest.hexdigest(), name, path, folder, taken, target)


def declared_args(dockerfile: bytes) -> frozenset[str]:
    """The names that the ``ARG`` lines of a Dockerfile declare."""
    steps = DockerfileParser(fileobj=io.BytesIO(dockerfile)).structure
    values = " ".join(step["value"] for step in steps if step["instruction"] == "ARG")
    return frozenset(word.partition("=")[0] for word in values.split())


def _predefined(name: str) -> bool:
    return name.upper() in _PREDEFINED or name.startswith("BUILDKIT_")


def _members(folder: Path, dockerfile: str | None, path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every entry of the context in a stable order, owned by root as the docker client sends it."""
    ignored = _ignore_patterns(folder, path)
    names = sorted(exclude_paths(os.fspath(folder), ignored, dockerfile=dockerfile))
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as describer:
        for name in names:
            full = folder / name
            # Hard links would be entries without content; each file stands for itself.
            describer.inodes.clear()  # type: ignore[attr-defined]
            info = describer.gettarinfo(full, arcname=name)
            # Sockets yield nothing; pipes and devices mean nothing in an image.
            if info is None or not (info.isfile() or info.isdir() or info.issym()):
                continue
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = int(info.mtime)
            content = full.read_bytes() if info.isfile() else b""
            if info.isfile() and is_dotenv(full.name):
                content = defuse_bytes(content, DECOY)
            info.size = len(content)
            yield info, content


def _ignore_patterns(folder: Path, dockerfile: Path) -> list[str]:
    """The patterns of ``<Dockerfile>.dockerignore`` beside the Dockerfile, else of the folder's ``.dockerignore``."""
    for candidate in (dockerfile.with_name(dockerfile.name + ".dockerignore"), folder / ".dockerignore"):
        if candidate.is_file():
            lines = [line.strip() for line in candidate.read_text(encoding="utf-8-sig").splitlines()]
            return [line for line in lines if line and not line.startswith("#")]
    return []
