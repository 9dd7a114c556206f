"""Runs the pairs of ``sample_images/causes`` on several generations of the clients, each in an environment of its own.

    python -m tools.generations                 all generations, all pairs
    python -m tools.generations 2024-07         one of them
    python -m tools.generations --pairs key-missing,env-cleared

Apps, plugin and pytest live in the generation's environment; the app is run as plain processes. The environments lie in
``.venv-generations`` and are made once. Prints a table, and ends with 1 where a pair did not come out as it expects.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.pairs import ALL_PAIRS, ROOT, VERSIONS, NoReport, Ran, run_pairs, show

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / ".venv-generations"
REQUIREMENTS = ROOT / "sample_images" / "requirements.txt"
FURTHER = ("llama-index-llms-azure-openai", "pytest-xdist")
"""What the pairs import beside their requirements, and what runs two of them at once."""
INSTALL_SECONDS = 900


class NotMade(Exception):
    """A generation's environment could not be made: why, and where pip's words are."""


@dataclass(frozen=True)
class Generation:
    """Clients of one time. ``newest_python``: the last Python that has wheels of all that they need."""

    name: str
    pins: tuple[str, ...] = ()
    newest_python: tuple[int, int] = (3, 14)


GENERATIONS = (
    Generation(
        "2024-07",
        (
            "llama-index-core==0.10.58",
            "llama-index-llms-openai==0.1.27",
            "llama-index-embeddings-openai==0.1.11",
            "llama-index-llms-azure-openai==0.1.10",
            "openai==1.37.1",
            "httpx==0.27.0",  # of that time: this openai passes an argument that httpx 0.28 has no more
        ),
        (3, 12),  # numpy 1.26
    ),
    Generation(
        "2025-02",
        (
            "llama-index-core==0.12.15",
            "llama-index-llms-openai==0.3.16",
            "llama-index-embeddings-openai==0.3.1",
            "llama-index-llms-azure-openai==0.3.0",
            "openai==1.61.0",
            "httpx==0.28.1",
        ),
        (3, 13),
    ),
    Generation("newest"),
)


def environment(generation: Generation, folder: Path = FOLDER) -> Path:
    """The interpreter of the generation's environment, which is made where it is not there yet.

    Raises:
        NotMade: pip could not install it, or this Python is too new for it.
    """
    if sys.version_info[:2] > generation.newest_python:
        wanted = ".".join(map(str, generation.newest_python))
        raise NotMade(
            f"{generation.name} has wheels up to Python {wanted} only; run this with that: make PYTHON=python{wanted} …"
        )
    place = folder / generation.name
    python, done, log = place / "bin" / "python", place / "made-of", place / "pip.log"
    words = (
        *generation.pins,
        *FURTHER,
        REQUIREMENTS.read_text(),
        (ROOT / "pyproject.toml").read_text(),
        sys.version,
        str(ROOT),
    )
    made_of = hashlib.sha256("\n".join(words).encode()).hexdigest()
    if done.exists() and done.read_text() == made_of:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, timeout=120)
    command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile"]
    command += ["--editable", str(ROOT), "--requirement", str(REQUIREMENTS), *generation.pins, *FURTHER]
    with log.open("w") as said:
        code = subprocess.run(command, stdout=said, stderr=said, timeout=INSTALL_SECONDS, check=False).returncode
    if code:
        last = log.read_text().strip().splitlines()[-1:]
        raise NotMade(f"{generation.name} could not be installed (all of it in {log}): {''.join(last)}")
    done.write_text(made_of)
    return python


def run(generation: Generation, pairs: list[str]) -> Ran:
    """Both halves of ``pairs`` in the process runtime, with all of it in the generation's environment.

    Raises:
        NotMade: there is no such environment.
        NoReport: pytest did not get as far as a report.
    """
    python = environment(generation)
    told = subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True, timeout=60).stdout
    return Ran(json.loads(told), run_pairs([str(python)], pairs, "--llamakey-runtime", "process"))


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.generations", description=__doc__.partition("\n")[0])
    names = [generation.name for generation in GENERATIONS]
    parser.add_argument("generations", nargs="*", metavar="GENERATION", help=f"some of {', '.join(names)}")
    parser.add_argument("--pairs", help="comma list of causes")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.generations) - set(names)):
        parser.error(f"no generation {', '.join(unknown)}; there are {', '.join(names)}")
    pairs = asked.pairs.split(",") if asked.pairs else list(ALL_PAIRS)
    if unknown := sorted(set(pairs) - set(ALL_PAIRS)):
        parser.error(f"no pair {', '.join(unknown)}; there are {', '.join(ALL_PAIRS)}")
    results = {}
    for generation in GENERATIONS:
        if asked.generations and generation.name not in asked.generations:
            continue
        print(f"{generation.name}: {len(pairs)} pairs, after its environment was made", file=sys.stderr)
        try:
            results[generation.name] = run(generation, pairs)
        except (NotMade, NoReport) as fault:
            print(fault, file=sys.stderr)
            return 2
    return show(results)


if __name__ == "__main__":
    sys.exit(main())
