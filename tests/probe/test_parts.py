"""The agent is written in parts and runs as one file."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING

from pytest_llamakey.probe.render import AGENT_MODULE, PARTS, AgentConfig, agent_files, render_agent
from pytest_llamakey.runtimes.overlay import lay_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = files("pytest_llamakey.probe") / "agent"
LONGEST = 250
CONFIG = AgentConfig("127.0.0.1", 1, "00", "00", "r", "sk-llamakey-x")


def defined(tree: ast.Module) -> Iterator[str]:
    """The names that a part makes at its top level; what it imports is the same thing everywhere."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        for target in ast.walk(node) if isinstance(node, ast.Assign | ast.AnnAssign | ast.Try | ast.If) else ():
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                yield target.id


def test_each_part_is_in_the_one_file_and_short() -> None:
    parts = {path.name.removesuffix(".py") for path in FOLDER.iterdir() if path.name.endswith(".py")} - {"__init__"}
    assert parts == set(PARTS)
    sizes = {part: len((FOLDER / f"{part}.py").read_text(encoding="utf-8").splitlines()) for part in PARTS}
    assert max(sizes.values()) <= LONGEST, sizes


def test_no_two_parts_give_one_name_to_two_things() -> None:
    counts = Counter(
        name for part in PARTS for name in set(defined(ast.parse((FOLDER / f"{part}.py").read_text(encoding="utf-8"))))
    )
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_one_file_imports_no_package_of_ours() -> None:
    imported = {
        name
        for node in ast.walk(ast.parse(render_agent(CONFIG)))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= sys.stdlib_module_names | {"_blake2"}


def test_importing_the_parts_starts_nothing() -> None:
    code = """
import _signal, importlib, os, sys
before = list(sys.meta_path), type(os.environ._data), os._exit, _signal.getsignal(23)
for part in sys.argv[1:]:
    importlib.import_module("pytest_llamakey.probe.agent." + part)
assert before == (list(sys.meta_path), type(os.environ._data), os._exit, _signal.getsignal(23))
assert not hasattr(sys, "_llamakey")
"""
    subprocess.run([sys.executable, "-c", code, *PARTS], check=True, timeout=60)


def started(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A Python that has imported the agent from this folder, and tells what it was loaded from."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import {AGENT_MODULE} as it; "
    code += "print(it.CONFIG['workdir'], it.SELF)"
    command = [sys.executable, "-I", "-S", "-v", *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_a_python_of_this_version_takes_the_bytecode_with_each_replicas_settings(tmp_path: Path) -> None:
    for workdir in ("/srv/one", "/srv/'two\"\n)\n"):
        folder = tmp_path / str(len(workdir))
        lay_files(folder, agent_files(render_agent(replace(CONFIG, workdir=workdir))))
        for options, loaded in (((), True), (("-O",), False), (("--check-hash-based-pycs", "always"), True)):
            done = started(folder, *options)
            assert done.stdout == f"{workdir} {folder / AGENT_MODULE}.py\n", done.stderr
            assert (f"code object from '{folder / '__pycache__'}" in done.stderr) == loaded


def test_it_is_made_by_a_python_that_compares_no_bytes_with_text(tmp_path: Path) -> None:
    code = "from pytest_llamakey.probe.render import AgentConfig, agent_files, render_agent\n"
    code += "print(len(agent_files(render_agent(AgentConfig('127.0.0.1', 1, '00', '00', 'r', 'sk-llamakey-x')))))"
    command = [sys.executable, "-bb", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr
