"""Judging and reporting recorded facts: 10, 100 and 1,000 pods with 8 workers each, in a process of their own.

``python -m benchmarks.analysis FILE`` reads the facts in FILE and prints the seconds and the memory that it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.large import WORKERS, enlarged
from benchmarks.measure import Plan, Row, interleaved, medians
from tools.memory import OWN, most

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SIZES = (10, 100, 1000)
SECONDS, MEGABYTES, LINEAR = 2.0, 300.0, 1.3


def measure(plan: Plan) -> Iterator[Row]:
    """A row where all is well, and one where every worker is wrong."""
    from pytest_llamakey.causes.recorded import app, keyless
    from pytest_llamakey.facts import to_json

    sizes = SIZES[:-1] if plan.quick else SIZES
    with TemporaryDirectory(prefix="llamakey-bench-") as name:
        folder = Path(name)
        for what, facts in (("all well", app()), ("every worker wrong", app(keyless()))):
            memory: dict[str, list[float]] = {}
            for size in sizes:
                (folder / f"{size}.json").write_bytes(to_json(enlarged(facts, size)))
            cases = {str(size): partial(_one, folder / f"{size}.json", memory) for size in sizes}
            raw = interleaved(plan, cases, warm=0)
            took, most_of = medians(raw), medians(memory)
            small, large = (took[str(size)] / size for size in sizes[-2:])
            last = str(sizes[-1])
            figure = f"{took[last]:.2f} s, {most_of[last]:.0f} MB; {large / small:.2f} x a pod of {sizes[-2]}"
            met = took[last] < SECONDS and most_of[last] < MEGABYTES and large / small < LINEAR
            yield Row(
                f"analysis and reports, {last} pods x {WORKERS} workers, {what}",
                figure,
                f"{sizes[-2]} pods",
                f"linear, < {SECONDS:g} s, < {MEGABYTES:g} MB",
                met,
                odd(most_of),
                {**raw, "megabytes": memory},
            )


def odd(megabytes: Mapping[str, float]) -> str:
    """What is off where more pods, the keys of ``megabytes``, did not take more memory; empty where all is well."""
    few, many = (f(megabytes, key=int) for f in (min, max))
    if megabytes[many] > megabytes[few]:
        return ""
    return f"{many} pods took {megabytes[many]:.0f} MB, and {few} took {megabytes[few]:.0f} MB: another's was measured"


def _one(path: Path, memory: dict[str, list[float]]) -> float:
    done = subprocess.run([sys.executable, "-m", "benchmarks.analysis", str(path)], check=True, stdout=subprocess.PIPE)
    seconds, status = json.loads(done.stdout)
    memory.setdefault(path.stem, []).append(most(status))
    return float(seconds)


def main() -> None:
    """The analysis itself; imports are not counted, they are there when a run ends."""
    from pytest_llamakey.causes import causes, diagnose
    from pytest_llamakey.checks import judge
    from pytest_llamakey.facts import from_json
    from pytest_llamakey.report import json_report, terminal
    from pytest_llamakey.report.model import SCHEMA, Report, deployment_report
    from pytest_llamakey.spec.model import DEFAULT_CHECKS

    causes()
    facts = from_json(Path(sys.argv[1]).read_bytes())
    begun = time.perf_counter()
    findings = diagnose(facts)
    report = deployment_report(facts, judge(facts, findings, DEFAULT_CHECKS), findings)
    terminal.render(report)
    json_report.to_json(Report(SCHEMA, "", "", 0.0, None, (report,)))
    seconds = time.perf_counter() - begun
    print(json.dumps([seconds, OWN.read_text(encoding="utf-8")]))


if __name__ == "__main__":
    main()
