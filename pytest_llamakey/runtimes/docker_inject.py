"""What is laid into a container between its creation and its start, in one archive: the probe, delivered files."""

from __future__ import annotations

import base64
import io
import json
import posixpath
import stat
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from docker.errors import NotFound

from pytest_llamakey.probe.render import agent_files
from pytest_llamakey.runtimes.docker_engine import engine_words
from pytest_llamakey.secrecy.dotenv_guard import merge

if TYPE_CHECKING:
    from collections.abc import Iterable

    import docker
    from docker.models.containers import Container

    from pytest_llamakey.runtimes.base import DeliveredFile

_STAT_HEADER = "X-Docker-Container-Path-Stat"
_GO_SYMLINK = 1 << 27  # the bit of Go's fs.ModeSymlink, in which the engine tells a file's mode
_FOLDER_MODE = 0o755


@dataclass(frozen=True)
class Entry:
    """One file to be laid into a container: absolute path, content, and what ``tar`` says of its owner and mode.

    ``optional``: it can be done without where there is no place for it.
    """

    path: str
    content: bytes
    mode: int = 0o444
    uid: int = 0
    gid: int = 0
    optional: bool = False


def probe_entries(agent: str, folders: Iterable[str]) -> list[Entry]:
    """The probe's file ``agent`` and the line that loads it, in each of the package folders."""
    pieces = agent_files(agent)
    return [
        Entry(posixpath.join(folder, name), content, optional=name.endswith(".pyc"))
        for folder in folders
        for name, content in pieces.items()
    ]


def delivered_entries(
    client: docker.DockerClient, container: Container, files: Iterable[DeliveredFile], workdir: str
) -> list[Entry]:
    """The delivered files; one that is to be merged takes up what is there already, with its owner and mode."""
    entries = []
    for file in files:
        path = posixpath.normpath(posixpath.join("/", workdir, file.path))
        there = _there(client, container, path) if file.merge_dotenv or file.withdrawn else None
        if there is None and file.withdrawn:
            continue
        if there is None or not file.merge_dotenv:
            content = file.content if not file.merge_dotenv else merge("", file.content.decode()).encode()
            entries.append(Entry(path, content, file.mode))
        else:
            text = there.content.decode("utf-8", "surrogateescape")
            content = merge(text, file.content.decode()).encode("utf-8", "surrogateescape")
            entries.append(Entry(there.path, content, there.mode, there.uid, there.gid))
    return entries


def lay_into_volumes(container: Container, entries: Iterable[Entry]) -> None:
    """Put ``entries`` into folders of a read-only ``container`` that are volumes: there alone the engine writes.

    Folders are not made there, so what is optional is left out.

    Raises:
        RuntimeFault: the engine refuses.
    """
    by_folder: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.optional:
            by_folder.setdefault(posixpath.dirname(entry.path), []).append(entry)
    for folder, inside in by_folder.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for entry in inside:
                _add(tar, entry, posixpath.basename(entry.path))
        with engine_words(f"Laying files into {folder} of the container"):
            container.put_archive(folder, buffer.getvalue())


def lay(client: docker.DockerClient, container: Container, entries: Iterable[Entry]) -> None:
    """Put ``entries`` into ``container`` at once.

    Raises:
        RuntimeFault: the engine refuses, for instance because a path is a folder already.
    """
    entries = list(entries)
    if not entries:
        return
    folders = _missing_folders(client, container, entries)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in folders:
            info = tarfile.TarInfo(folder.lstrip("/"))
            info.type, info.mode = tarfile.DIRTYPE, _FOLDER_MODE
            tar.addfile(info)
        for entry in entries:
            _add(tar, entry, entry.path.lstrip("/"))
    with engine_words("Laying files into the container"):
        container.put_archive("/", buffer.getvalue())


def _add(tar: tarfile.TarFile, entry: Entry, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uid, info.gid = len(entry.content), entry.mode, entry.uid, entry.gid
    tar.addfile(info, io.BytesIO(entry.content))


def _missing_folders(client: docker.DockerClient, container: Container, entries: Iterable[Entry]) -> list[str]:
    """The folders to be made, outermost first. One that exists stays out: an entry would change its mode and owner."""
    missing: list[str] = []
    known: set[str] = {"/"}
    for entry in entries:
        absent: list[str] = []
        for parent in PurePosixPath(entry.path).parents:  # from within: where one is there, so are all above it
            folder = str(parent)
            if folder in known or look(client, container, folder) is not None:
                known.add(folder)
                break
            absent.append(folder)
        known.update(absent)
        missing += reversed(absent)
    return missing


def look(client: docker.DockerClient, container: Container, path: str) -> tuple[bool, str] | None:
    """Whether ``path`` is a link, and where to; ``None`` where nothing is.

    Source: Docker Engine API, ``HEAD /containers/{id}/archive``.
    """
    url = f"{client.api.base_url}/v{client.api.api_version}/containers/{container.id}/archive"
    with engine_words(f"Looking at {path} in the container"):
        answer = client.api.head(url, params={"path": path}, timeout=client.api.timeout)
    if not answer.ok or _STAT_HEADER not in answer.headers:
        return None
    told = json.loads(base64.b64decode(answer.headers[_STAT_HEADER]))
    return bool(told["mode"] & _GO_SYMLINK), str(told.get("linkTarget", ""))


def _there(client: docker.DockerClient, container: Container, path: str) -> Entry | None:
    """The regular file at ``path``, links followed, or ``None``."""
    told = look(client, container, path)
    if told is None:
        return None
    path = told[1] if told[0] else path
    with engine_words(f"Reading {path} in the container"):
        try:
            pieces, _stat = container.get_archive(path)
        except NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
            info = tar.next()
            file = tar.extractfile(info) if info is not None and info.isfile() else None
            if info is None or file is None:
                return None
            return Entry(path, file.read(), stat.S_IMODE(info.mode), info.uid, info.gid)
