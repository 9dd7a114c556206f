"""Installs the built wheel into clean environments and runs the tutorial's app there: ``python tools/installs.py [NAME …]``.

Environments: the Python of this machine with the oldest direct dependencies that ``pyproject.toml`` allows, and with the newest;
and every Python for which ``tools/engine`` has a base image, in a container of it, with the newest. In each, the mended app of
the tutorial must pass and the broken one must show its cause, as plain processes. Prints a table; ends with 1 where one did not.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITES = {"trixie": "3.13", "forky": "3.14"}
"""Debian's releases and their Pythons, beside that of this machine."""
LOWEST, NEWEST = "lowest-direct", "highest"
INSTALL_SECONDS, RUN_SECONDS = 900, 300
APP = ("flask>=3", "gunicorn>=22", "python-dotenv>=1")

# Run by the environment's own interpreter, in the folder with the two apps.
SMOKE = """
import importlib.metadata as m, platform, subprocess, sys
print("python", platform.python_version(), *(f"{n} {m.version(n)}" for n in ("pytest", "llama-index-core", "openai")))
done = [subprocess.run([sys.executable, "-m", "pytest", "--llamakey", "-q", "-p", "no:cacheprovider", name],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150) for name in ("mended", "broken")]
well = done[0].returncode == 0 and "5 passed" in done[0].stdout
named = done[1].returncode == 1 and "client-before-env" in done[1].stdout
if not (well and named):
    print(*(one.stdout for one in done), file=sys.stderr)
sys.exit(not (well and named))
"""
CONTAINER = """
set -e
python3 -m venv /tmp/clean
/tmp/clean/bin/pip install --quiet /here/wheel/*.whl {app}
cp -r /here/apps /tmp/apps && cd /tmp/apps
export PATH=/tmp/clean/bin:$PATH
exec /tmp/clean/bin/python /here/smoke.py
"""


def apps(folder: Path) -> None:
    """Write the tutorial's app as it begins (``broken``) and as it ends (``mended``), each with a ``llamakey.toml``."""
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    files = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    for name, of_app in (("broken", dict(reversed(files))), ("mended", dict(files))):
        for path, text in {**of_app, "pytest.ini": "[pytest]\n"}.items():
            (folder / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / path).write_text(text, encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "pytest_llamakey", "init", name], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60
        )  # fmt: skip


def on_this_machine(here: Path, resolution: str) -> subprocess.CompletedProcess[str]:
    """In an environment of this interpreter."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    python = here / resolution / "bin/python"
    subprocess.run([*uv, "venv", "--python", sys.executable, here / resolution], check=True, timeout=60)
    install = [*uv, "pip", "install", "--python", python]
    wheel = next((here / "wheel").glob("*.whl"))
    asked = ["--resolution", resolution, "--requirements", str(ROOT / "pyproject.toml"), *APP]
    subprocess.run([*install, *asked], check=True, timeout=INSTALL_SECONDS)
    subprocess.run([*install, "--no-deps", wheel], check=True, timeout=INSTALL_SECONDS)
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin", "HOME": str(here), "COLUMNS": "120"}
    return subprocess.run(
        [python, here / "smoke.py"], cwd=here / "apps", env=environment, capture_output=True, text=True, check=False,
        timeout=RUN_SECONDS,
    )  # fmt: skip


def in_a_container(here: Path, suite: str) -> subprocess.CompletedProcess[str]:
    """On the Python of a Debian release."""
    told = subprocess.run(
        [str(ROOT / "tools/engine"), suite], check=True, stdout=subprocess.PIPE, text=True, timeout=1800
    )
    image = told.stdout.strip().removeprefix("PYTHON_IMAGE=")
    quoted = " ".join(f"'{one}'" for one in APP)
    command = ["docker", "run", "--rm", "--volume", f"{here}:/here:ro", image, "sh", "-c", CONTAINER.format(app=quoted)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS + RUN_SECONDS)


def main() -> int:
    """Make the wheel, try each environment, tell."""
    names = [LOWEST, NEWEST, *SUITES]
    parser = argparse.ArgumentParser(prog="tools/installs.py", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(names)}")
    asked = parser.parse_args().names or names
    if unknown := sorted(set(asked) - set(names)):
        parser.error(f"no environment is called {', '.join(unknown)}")
    wrong = 0
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        uv = [sys.executable, "-m", "uv", "--quiet"]
        subprocess.run(
            [*uv, "build", "--wheel", "--out-dir", here / "wheel", ROOT], check=True, timeout=INSTALL_SECONDS
        )
        (here / "smoke.py").write_text(SMOKE, encoding="utf-8")
        apps(here / "apps")
        here.chmod(0o755)
        for name in asked:
            done = in_a_container(here, name) if name in SUITES else on_this_machine(here, name)
            print(f"{name:14} {'as expected' if done.returncode == 0 else 'WRONG':12} {done.stdout.strip()}")
            if done.returncode:
                print(done.stderr, file=sys.stderr)
            wrong += done.returncode != 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
