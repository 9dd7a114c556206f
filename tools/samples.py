"""Holds a JSON report of ``pytest --llamakey sample_images`` against what the samples are to show (``make samples``).

    python -m tools.samples build/samples-process.json process

Every worker that is expected was seen; a right sample's request made each worker call once, with the exact header; a broken
one showed the causes it expects and no other. Prints a table, and ends with 1 where a sample did otherwise. Samples that the
run has left out are listed; in CI it ends with 1 then, too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from pytest_llamakey.spec.model import Defaults, runs_elsewhere
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
SEVERAL_CALLS = {"embedding": 2}
"""Samples whose request makes a worker call more than once: a question to an index is an embedding and a completion."""
HEADERS = ("authorization", "api-key")


def wrong(deployment: Mapping[str, Any]) -> Iterator[str]:
    """What of one deployment's report is not as it is to be, a line each."""
    seen, expected = deployment["seen_workers"], deployment["expected_workers"]
    never_started = bool(deployment["expected"] and deployment.get("error")) and not seen  # that is how it is broken
    if (not seen or seen != expected) and not never_started:
        yield f"{seen} of {expected} workers"
    if deployment["causes"] != deployment["expected"]:
        yield f"found {deployment['causes']}, expected {deployment['expected']}"
    verdict = "fail" if deployment["expected"] else "pass"
    if (deployment["verdict"], deployment["outcome"]) != (verdict, "passed"):
        why = str(deployment.get("error") or "").partition("\n")[0]
        yield f"verdict {deployment['verdict']}, outcome {deployment['outcome']} {why}".rstrip()
    if deployment["expected"]:
        return
    calls = driven(deployment)
    wanted = SEVERAL_CALLS.get(deployment["name"], 1) * seen
    if len(calls) != wanted:
        yield f"{len(calls)} calls, {wanted} are to be made"
    odd = [call for call in calls if call["header"] not in HEADERS or call["credential"] != "match"]
    yield from (f"a call with {call['header']}: {call['credential']}" for call in odd)
    yield from (f"a call was answered with {call['status']}" for call in calls if call["status"] != 200)
    for replica in deployment["replicas"]:
        workers = [process for process in replica["workers"] if process["role"] == "worker"]
        helped = any(process["role"] == "helper" for process in replica["workers"])
        counts = {len(made_by(worker)) for worker in workers}
        if len(counts) > 1 and not helped:
            yield f"workers made different numbers of calls: {sorted(counts)}"


def driven(deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls that were made for a request or a task."""
    return [call for replica in deployment["replicas"] for process in replica["workers"] for call in made_by(process)]


def made_by(process: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of one process."""
    return [call for call in process["calls"] if call["via"] in ("request", "task")]


def left_out(deployments: Sequence[Mapping[str, Any]], runtime: str, root: Path) -> list[str]:
    """The samples below ``root`` that a run with ``--llamakey-runtime`` ``runtime`` has to report, and has not."""
    files = sorted((root / "sample_images").rglob("llamakey.toml"))
    samples = [one for file in files for one in read_deployments(file, root, Defaults())]
    reported = {one["id"] for one in deployments}
    return [one.id for one in samples if one.id not in reported and not runs_elsewhere(one, runtime)]


def main() -> int:
    """Judge the report that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.samples", description=__doc__.partition("\n")[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("runtime", help="what the run was given as --llamakey-runtime")
    options = parser.parse_args()
    deployments = json.loads(options.report.read_text())["deployments"]
    missing = left_out(deployments, options.runtime, ROOT)
    table = Table("sample", "runtime", "workers", "calls", "causes", "")
    failed = 0
    for one in deployments:
        told = list(wrong(one))
        failed += bool(told)
        sample = one["id"].partition("::")[0].removeprefix("sample_images/").removesuffix("/llamakey.toml")
        workers = f"{one['seen_workers']} of {one['expected_workers']}"
        table.add_row(
            sample,
            one["runtime"],
            workers,
            str(len(driven(one))),
            ", ".join(one["causes"]),
            "\n".join(told) or "as it should",
        )
    Console(width=None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))).print(table)
    print(f"{len(deployments) - failed} of {len(deployments)} samples did as they should")
    if missing:
        print(f"{len(missing)} more were left out (PYTEST_ARGS=-rs says why):", *missing, sep="\n  ")
    return 1 if failed or not deployments or (missing and os.environ.get("CI")) else 0


if __name__ == "__main__":
    sys.exit(main())
