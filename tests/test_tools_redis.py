"""``tools/redis``: quiet where there is a Redis, and a reason where there is none and none can be installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REDIS = Path(__file__).parent.parent / "tools" / "redis"


def run(path: Path) -> subprocess.CompletedProcess[str]:
    for name in ("bash", "env"):
        (path / name).symlink_to(next(p for f in os.get_exec_path() if (p := Path(f, name)).exists()))
    return subprocess.run([REDIS], env={"PATH": str(path)}, capture_output=True, text=True, timeout=30, check=False)


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_redis_that_is_there_is_left_alone(tmp_path):
    program(tmp_path / "redis-server", "exit 1")
    done = run(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_root_it_says_what_to_install(tmp_path):
    program(tmp_path / "id", "echo 1000")
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "apt install redis-server" in done.stderr
