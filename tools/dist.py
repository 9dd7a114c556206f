"""Builds sdist and wheel for a release into ``dist/``: ``python tools/dist.py [FOLDER]``.

They are built twice, from two copies of the sources of other names and ages, and must be the same to the byte. The wheel is
built from the sdist, so what that lacks is seen. Then `twine check` and `check-wheel-contents` look at them, and the wheel
must hold the package's every file and no other.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "pytest_llamakey"
BUILD_SECONDS = 300


def build(into: Path, age: int) -> dict[str, str]:
    """Sdist and wheel of a copy of the sources whose files are all ``age`` seconds old; their names and hashes."""
    source = into / "source"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
    for name in filter(None, listed.decode().split("\0")):
        if not (ROOT / name).is_file():
            continue
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
        os.utime(source / name, (age, age))
    out = into / "dist"
    run(sys.executable, "-m", "uv", "--quiet", "build", "--no-create-gitignore", "--out-dir", str(out), str(source))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def lacking(wheel: Path) -> list[str]:
    """In what the wheel's package differs from the sources, a line each."""
    listed = subprocess.run(
        ["git", "ls-files", PACKAGE], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    ours = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    return [f"lacks {name}" for name in sorted(ours - held)] + [f"holds {name}" for name in sorted(held - ours)]


def run(*command: str) -> None:
    """Run it with its output shown.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, check=True, timeout=BUILD_SECONDS)


def main() -> int:
    """Build, compare, look through; 1 where something is not as it should be."""
    parser = argparse.ArgumentParser(prog="tools/dist.py", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where they go (default: dist)")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        built = [
            build(Path(temporary, name), age) for name, age in (("first", 1_000_000_000), ("second-one", 1_500_000_000))
        ]
        if built[0] != built[1]:
            print(f"The second build differs from the first: {built[0]} and {built[1]}", file=sys.stderr)
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(temporary, "first/dist"), folder)
    made = [str(folder / name) for name in built[0]]
    wheel = next(Path(path) for path in made if path.endswith(".whl"))
    if wrong := lacking(wheel):
        print(f"{wheel.name}: {'; '.join(wrong)}", file=sys.stderr)
        return 1
    run(sys.executable, "-m", "twine", "check", "--strict", *made)
    run(sys.executable, "-m", "check_wheel_contents", "--package", str(ROOT / PACKAGE), str(wheel))
    for name, digest in built[0].items():
        print(f"{digest}  {folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
