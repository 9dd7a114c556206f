"""Command line of the measurement: ``python -m tools.accuracy --seed 7 --count 400``; see ``docs/accuracy.md``."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tools.accuracy.bench import run_all, write
from tools.accuracy.cases import case
from tools.accuracy.choices import Able
from tools.accuracy.table import judge, table

if TYPE_CHECKING:
    from tools.accuracy.table import Judged


def main() -> int:
    """Run the cases, print the table; 1 if anything was missed, named wrongly or alarmed falsely."""
    options = _options()
    able = Able.here()
    numbers = options.only or list(range(options.count))
    folder = options.keep or Path(tempfile.mkdtemp(prefix="llamakey-accuracy-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"seed {options.seed}, {len(numbers)} apps; what goes wrong is kept in {folder}")
    judged = []
    started = time.monotonic()
    for ran in run_all(options.seed, numbers, able, options.jobs):
        one = judge(case(options.seed, ran.number, able), ran)
        judged.append(one)
        if one.wrong or options.only:
            _keep(one, folder)
        if one.wrong or options.verbose:
            print(f"{len(judged)}/{len(numbers)} case {ran.number}: {'; '.join(one.wrong) or 'as expected'}")
            print(f"    {one.made.title}")
    seconds, cpu = time.monotonic() - started, sum(one.ran.cpu for one in judged)
    judged.sort(key=lambda one: one.ran.number)
    (folder / "accuracy.json").write_text(json.dumps(_plain(options.seed, able, judged), indent=1))
    print(f"\n{table(judged)}\n")
    print(f"{len(judged)} apps in {seconds:.0f} s, {cpu / max(1, len(judged)):.1f} s of processor time an app.")
    wrong = [one.ran.number for one in judged if one.wrong]
    if wrong:
        again = ",".join(map(str, wrong))
        print(f"{len(wrong)} not as expected; again: make accuracy SEED={options.seed} ONLY={again}")
        print(f"Their apps and recorded facts: {folder}")
    return bool(wrong)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.accuracy", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="what the apps are drawn from")
    parser.add_argument("--count", type=int, default=400, help="how many apps")
    parser.add_argument("--only", type=_numbers, help="comma-separated numbers of cases, which are kept right or wrong")
    parser.add_argument("--jobs", type=int, default=2, help="how many apps at a time")
    parser.add_argument("--keep", type=Path, help="where to keep what goes wrong (default: a new temporary folder)")
    parser.add_argument("--verbose", action="store_true", help="tell of every case")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]


def _keep(one: Judged, folder: Path) -> None:
    place = folder / f"case{one.ran.number}"
    write(one.made, place)
    (place / "case.json").write_text(json.dumps(_row(one), indent=1))
    if one.ran.facts:
        (place / "facts.json").write_text(one.ran.facts)


def _row(one: Judged) -> dict[str, object]:
    ran = {name: value for name, value in asdict(one.ran).items() if name != "facts"}
    return {"title": one.made.title, "planted": [asdict(each) for each in one.made.planted], "wrong": one.wrong, **ran}


def _plain(seed: int, able: Able, judged: list[Judged]) -> dict[str, object]:
    packages = sorted(able.packages)
    return {
        "seed": seed,
        "packages": packages,
        "root": able.root,
        "shared": able.shared,
        "cases": [_row(one) for one in judged],
    }


if __name__ == "__main__":
    sys.exit(main())
