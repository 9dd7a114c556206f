"""Runs a right sample and some pairs in containers of several Pythons, each on a Debian release's own.

    python -m tools.images                      all of them
    python -m tools.images trixie               one of them
    python -m tools.images --pairs key-missing,env-cleared

``tools/engine`` makes the base images, once. Prints a table, and ends with 1 where something did not come out as it
expects.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from tools.pairs import ALL_PAIRS, ROOT, VERSIONS, NoReport, Ran, run_pairs, show

SUITES = ("bullseye", "bookworm", "trixie", "forky")
SAMPLE = "sample_images/gunicorn"
PAIRS = ("client-before-env", "dotenv-shadowed")
MAKING_SECONDS = 1800


def run(suite: str, pairs: list[str]) -> Ran:
    """:data:`SAMPLE` and both halves of ``pairs`` on the Python of ``suite``.

    Raises:
        NoReport: pytest did not get as far as a report.
        subprocess.CalledProcessError: there is no base image of that release, and none could be made.
    """
    made = [ROOT / "tools" / "engine", suite]
    argument = subprocess.run(
        made, stdout=subprocess.PIPE, text=True, check=True, timeout=MAKING_SECONDS
    ).stdout.strip()
    docker = ("--llamakey-runtime", "docker", "--llamakey-build-arg", argument)
    wrong = run_pairs([sys.executable], pairs, *docker, SAMPLE)
    built = [
        "docker",
        "build",
        "--quiet",
        "--build-arg",
        argument,
        str(ROOT / SAMPLE),
    ]  # from the cache: it has just run
    image = subprocess.run(built, capture_output=True, text=True, check=True, timeout=MAKING_SECONDS).stdout.strip()
    asked = ["docker", "run", "--rm", "--network", "none", image, "python", "-c", VERSIONS]
    told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120).stdout
    return Ran(json.loads(told), wrong)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"some of {', '.join(SUITES)}")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="comma list of causes")
    asked = parser.parse_args()
    pairs = asked.pairs.split(",")
    if unknown := sorted({*(set(asked.suites) - set(SUITES)), *(set(pairs) - set(ALL_PAIRS))}):
        parser.error(f"neither a release nor a pair: {', '.join(unknown)}")
    results = {}
    for suite in asked.suites or SUITES:
        print(f"{suite}: {SAMPLE} and {', '.join(pairs)}", file=sys.stderr)
        try:
            results[suite] = run(suite, pairs)
        except (NoReport, subprocess.CalledProcessError) as fault:
            print(fault, file=sys.stderr)
            return 2
    return show(results)


if __name__ == "__main__":
    sys.exit(main())
