from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.runtimes import overlay as module
from pytest_llamakey.runtimes.overlay import make_overlay
from tests.counted import calls, grows_with_size

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: str | Path, path: Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": f"{path}:/usr/bin:/bin"}, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_it_sees_the_testers_packages_and_its_own_first(tmp_path):
    overlay = make_overlay(tmp_path / "overlay", {"only_here.py": b"where = 'overlay'\n"})
    code = "import sys, only_here, psutil, pytest; print(only_here.where, sys.prefix, psutil.__file__)"
    where, prefix, file = run(overlay.python, "-c", code, path=overlay.bin).split()
    import psutil

    assert (where, prefix, file) == ("overlay", str(overlay.folder), psutil.__file__)


def test_a_pth_runs_before_anything_else_and_nested_pth_files_count(tmp_path, monkeypatch):
    packages = tmp_path / "packages"
    editable = tmp_path / "editable"
    packages.mkdir()
    editable.mkdir()
    (editable / "edited.py").write_text("")
    (packages / "edit.pth").write_text(f"{editable}\nimport early\n")
    monkeypatch.setattr(module, "package_folders", lambda: (packages,))
    overlay = make_overlay(tmp_path / "overlay", {"early.py": b"print('early')", "_early.pth": b"import early\n"})
    assert run(overlay.python, "-c", "import edited; print('late')", path=overlay.bin).split() == ["early", "late"]


def test_console_scripts_run_in_it(tmp_path):
    overlay = make_overlay(tmp_path / "overlay", {"mark.py": b"", "_mark.pth": b"import sys; sys.marked = True\n"})
    for name in ("pytest", "gunicorn", "uvicorn", "flask"):
        first = (overlay.bin / name).read_bytes().splitlines()[0]
        assert first == f"#!{overlay.python}".encode()
    assert "pytest" in run("pytest", "--version", path=overlay.bin)
    assert sorted(path.name for path in overlay.bin.glob("python*")) == sorted(
        {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    )


def test_a_program_that_looks_for_its_environment_beside_itself_finds_the_overlay(tmp_path, monkeypatch):
    beside = tmp_path / "venv" / "bin"
    beside.mkdir(parents=True)
    for name in ("uwsgi", "ruff"):
        (beside / name).write_bytes(b"\x7fELF")
        (beside / name).chmod(0o755)
    monkeypatch.setattr(module, "script_folders", lambda: (beside,))
    monkeypatch.setattr(module.sys, "executable", str(beside / "python"))
    monkeypatch.setattr(module.sys, "prefix", str(beside.parent))
    overlay = make_overlay(tmp_path / "overlay", {})
    assert (overlay.bin / "uwsgi").resolve() == overlay.bin / "uwsgi"
    assert (overlay.bin / "ruff").resolve() == beside / "ruff"


@pytest.mark.parametrize("way", ["venv/../venv/bin", "linked/bin"])
def test_scripts_are_known_by_whatever_name_the_folder_is_called(tmp_path, monkeypatch, way):
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "venv")
    script = tmp_path / "venv" / "bin" / "serve"
    script.write_text(f"#!{tmp_path}/venv/bin/python3\nimport sys\nprint(sys.prefix)\n")
    script.chmod(0o755)
    monkeypatch.setattr(module, "script_folders", lambda: (tmp_path / way,))
    overlay = make_overlay(tmp_path / "overlay", {})
    assert run(overlay.bin / "serve", path=overlay.bin) == str(overlay.folder)


@pytest.mark.parametrize("name", ["overlay", "over lay", "o" * 150])
def test_every_form_of_script_is_given_the_new_interpreter(tmp_path, monkeypatch, name):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    body = "import sys\nprint(sys.prefix, *sys.argv[1:])\n"
    forms = {
        "plain": f"#!{scripts}/python3\n{body}",
        "flagged": f"#!{scripts}/python3 -E\n{body}",
        "env": f"#!/usr/bin/env python3\n{body}",
        "long": f"#!/bin/sh\n'''exec' {scripts}/python3 \"$0\" \"$@\"\n' '''\n{body}",
        "relocatable": "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''\n"
        + body,
        "shell": "#!/bin/sh\necho shell\n",
        "foreign": f"#!/opt/other/bin/python3\n{body}",
        "noexec": f"#!{scripts}/python3\n{body}",
    }
    for form, text in forms.items():
        (scripts / form).write_text(text)
        (scripts / form).chmod(0o644 if form == "noexec" else 0o755)
    monkeypatch.setattr(module, "script_folders", lambda: (scripts,))
    overlay = make_overlay(tmp_path / name, {})
    for form in ("plain", "flagged", "env", "long", "relocatable"):
        assert run(overlay.bin / form, "a b", path=overlay.bin) == f"{overlay.folder} a b", form
    assert {path.name for path in overlay.bin.iterdir()} - set(forms) == {
        path.name for path in overlay.bin.glob("python*")
    }
    assert not {"shell", "foreign", "noexec"} & {path.name for path in overlay.bin.iterdir()}
    assert (scripts / "plain").read_text() == forms["plain"]


def test_its_work_grows_with_the_scripts_and_no_faster(tmp_path, monkeypatch):
    counts = []
    for number in (0, 20, 40, 80):  # the first is not counted: what is made once in a process
        scripts = tmp_path / f"scripts{number}"
        scripts.mkdir()
        for name in range(number):
            (scripts / f"serve{name}").write_text(f"#!{scripts}/python3\nimport sys\n")
            (scripts / f"serve{name}").chmod(0o755)
        monkeypatch.setattr(module, "script_folders", lambda there=scripts: (there,))
        counts.append(calls(partial(make_overlay, tmp_path / f"overlay{number}", {})))
    assert grows_with_size(*counts[1:])


def test_no_package_is_copied_into_it(tmp_path):
    overlay = make_overlay(tmp_path / "overlay", {})
    assert [path.name for path in overlay.site_packages.iterdir()] == ["zz_llamakey_packages.pth"]
