"""Runs pairs of ``sample_images/causes`` and shows how they came out, a column for each world they were run in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
CAUSES = ROOT / "sample_images" / "causes"
ALL_PAIRS = tuple(sorted(path.name for path in CAUSES.iterdir() if (path / "broken").is_dir()))
SHOWN = ("python", "llama-index-core", "llama-index-llms-openai", "openai", "httpx")
VERSIONS = f"""
import importlib.metadata as m, json, platform
print(json.dumps({{n: platform.python_version() if n == "python" else m.version(n) for n in {SHOWN}}}))
"""
"""A program that says, as JSON, the versions of :data:`SHOWN` in the interpreter that runs it."""
RUN_SECONDS = 1800


class NoReport(Exception):
    """pytest ended without a report, or with one that lacks what failed; its last words."""


@dataclass(frozen=True)
class Ran:
    """One world's :data:`SHOWN` versions, and for each deployment that ran what is wrong with it, or nothing."""

    versions: Mapping[str, str]
    wrong: Mapping[str, str]


def run_pairs(python: Sequence[str], pairs: Sequence[str], *arguments: str) -> dict[str, str]:
    """Run both halves of ``pairs`` by that interpreter's ``pytest --llamakey``; ``arguments`` may name further samples.

    Each deployment, by the folder below ``sample_images``, is given what is wrong with it, or nothing.

    Raises:
        NoReport: there is no report, or what failed is not in it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary, "report.json")
        command = [*python, "-m", "pytest", "--llamakey", "-p", "no:cacheprovider", "-n", "2"]
        command += ["--llamakey-report", str(report), *arguments, *(str(CAUSES / pair) for pair in pairs)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        if not report.exists():
            raise NoReport(_last_words(done))
        deployments: list[dict[str, Any]] = json.loads(report.read_text())["deployments"]
    wrong = {_folder(one["id"]): _wrong(one) for one in deployments}
    if done.returncode and not any(wrong.values()):  # something did not even get into the report
        raise NoReport(_last_words(done))
    return wrong


def said(*command: str, given: str = "") -> str:
    """The output of a command; what it says of errors goes where ours goes.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=True, timeout=RUN_SECONDS)
    return done.stdout.strip()


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    return f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


def _folder(node: str) -> str:
    file = node.partition("::")[0]
    return file.partition("sample_images/")[2].removeprefix("causes/").removesuffix("/llamakey.toml")


def _wrong(deployment: Mapping[str, Any]) -> str:
    if deployment["outcome"] == "passed":
        return ""
    return ", ".join(deployment["causes"]) or str(deployment.get("error", "")).partition("\n")[0] or "nothing found"


def show(results: Mapping[str, Ran]) -> int:
    """Print the table; 1 where something did not come out as it expects, or nothing ran, else 0."""
    table = Table("", *results)
    for name in SHOWN:
        table.add_row(name, *(ran.versions[name] for ran in results.values()))
    table.add_section()
    for folder in sorted({folder for ran in results.values() for folder in ran.wrong}):
        cells = (ran.wrong.get(folder, "(not run)") for ran in results.values())
        table.add_row(folder, *(cell or "as expected" for cell in cells))
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))).print(table)
    well = bool(results) and all(ran.wrong and not any(ran.wrong.values()) for ran in results.values())
    return 0 if well else 1
