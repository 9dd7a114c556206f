"""Runs a right sample and some pairs in containers of several Pythons, each on a Debian release's own.

    python -m tools.images                      all of them
    python -m tools.images trixie               one of them
    python -m tools.images musl                 a tiny app without any package, where the C library is musl
    python -m tools.images --pairs key-missing,env-cleared

``tools/engine`` makes the base images, once. Prints a table, and ends with 1 where something did not come out as it
expects.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from tools import musl
from tools.generations import GENERATIONS
from tools.pairs import ALL_PAIRS, ROOT, VERSIONS, NoReport, Ran, run_pairs, said, show

SUITES = ("bullseye", "bookworm", "trixie", "forky")
MUSL = "musl"
"""Not a release: see :mod:`tools.musl`."""
SAMPLE = "sample_images/gunicorn"
PAIRS = ("client-before-env", "dotenv-shadowed")
CLIENTS = {"bullseye": next(one for one in GENERATIONS if one.name == "2025-02")}
"""Where pip's own choice cannot be imported: llama-index-core 0.14 says that it has Python 3.9, and is written for 3.10."""


def base_image(suite: str) -> str:
    """The base image of ``suite``, with pip held to :data:`CLIENTS` in it.

    Raises:
        subprocess.CalledProcessError: there is none, and none could be made.
    """
    image = said(str(ROOT / "tools" / "engine"), suite).removeprefix("PYTHON_IMAGE=")
    clients = CLIENTS.get(suite)
    if clients is None:
        return image
    lines = (
        f"FROM {image}",
        f"RUN printf '%s\\n' {' '.join(clients.pins)} >/etc/pip-constraints.txt",
        "ENV PIP_CONSTRAINT=/etc/pip-constraints.txt",
    )
    held = f"{image}-{clients.name}"
    said("docker", "build", "--quiet", "--tag", held, "-", given="\n".join(lines))
    return held


def run(suite: str, pairs: list[str]) -> Ran:
    """:data:`SAMPLE` and both halves of ``pairs`` on the Python of ``suite``.

    Raises:
        NoReport: pytest did not get as far as a report.
        subprocess.CalledProcessError: there is no base image of that release, and none could be made.
    """
    if suite == MUSL:
        return musl.run(base_image("bookworm"))
    argument = f"PYTHON_IMAGE={base_image(suite)}"
    wrong = run_pairs([sys.executable], pairs, "--llamakey-runtime", "docker", "--llamakey-build-arg", argument, SAMPLE)
    # From the cache: it has just run.
    image = said("docker", "build", "--quiet", "--build-arg", argument, str(ROOT / SAMPLE))
    told = said("docker", "run", "--rm", "--network", "none", image, "python", "-c", VERSIONS)
    return Ran(json.loads(told), wrong)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__.partition("\n")[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"some of {', '.join((*SUITES, MUSL))}")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="comma list of causes")
    asked = parser.parse_args()
    pairs = asked.pairs.split(",")
    if unknown := sorted({*(set(asked.suites) - {*SUITES, MUSL}), *(set(pairs) - set(ALL_PAIRS))}):
        parser.error(f"neither a release nor a pair: {', '.join(unknown)}")
    results = {}
    for suite in asked.suites or (*SUITES, MUSL):
        print(f"{suite}: {SAMPLE} and {', '.join(pairs)}", file=sys.stderr)
        try:
            results[suite] = run(suite, pairs)
        except (NoReport, subprocess.CalledProcessError) as fault:
            print(fault, file=sys.stderr)
            return 2
    return show(results)


if __name__ == "__main__":
    sys.exit(main())
