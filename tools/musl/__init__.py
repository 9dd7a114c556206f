"""A container whose C library is musl, as in Alpine's images: a tiny app in it, with the probe and everything else."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.pairs import SHOWN, Ran, run_pairs, said
from tools.tiny_app import DOCKERFILE, server, table

if TYPE_CHECKING:
    from collections.abc import Mapping

TAG = "llamakey-python:musl"
HERE = Path(__file__).parent
HALVES: Mapping[str, Mapping[str, Any]] = {"right": {}, "broken": {"key": "none", "expect": ["key-missing"]}}


def base_image(python_image: str) -> str:
    """The base image, built once on ``python_image`` (some minutes).

    Raises:
        subprocess.CalledProcessError: it could not be built.
    """
    said("docker", "build", "--tag", TAG, "--build-arg", f"PYTHON_IMAGE={python_image}", str(HERE))
    return TAG


def run(python_image: str) -> Ran:
    """A right app and one that nobody gives a key, in containers of that image; it can hold no packages.

    Raises:
        NoReport: pytest did not get as far as a report.
        subprocess.CalledProcessError: there is no base image, and none could be made.
    """
    image = base_image(python_image)
    with tempfile.TemporaryDirectory() as temporary:
        samples = Path(temporary, "sample_images")
        for name, fields in HALVES.items():
            folder = samples / "musl" / name
            folder.mkdir(parents=True)
            (folder / "server.py").write_text(server())
            (folder / "Dockerfile").write_text(DOCKERFILE)
            (folder / "llamakey.toml").write_text(table(name=name, **fields))
        wrong = run_pairs(
            [sys.executable], (), "--llamakey-runtime", "docker", "--llamakey-build-arg", f"PYTHON_IMAGE={image}",
            "--rootdir", temporary, str(samples),
        )  # fmt: skip
    version = said("docker", "run", "--rm", image, "python", "-c", "import platform; print(platform.python_version())")
    return Ran({**dict.fromkeys(SHOWN, "-"), "python": version}, wrong)
