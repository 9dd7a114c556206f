"""The process that sends tasks takes on what a worker was started with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "pytest_llamakey" / "probe" / "task_client.py"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows what another process was started with")
def test_environment_folder_and_path_are_the_workers(tmp_path):
    inside = tmp_path / "srv"
    inside.mkdir()
    worker = subprocess.Popen(
        ["sleep", "60"], cwd=inside, env={"PATH": "/usr/bin:/bin", "BROKER": "redis://x", "PYTHONPATH": "/more/code"}
    )
    try:
        code = f"""
import json, os, runpy, sys
client = runpy.run_path({str(SOURCE)!r})
client["adopt"]({worker.pid}, "/")
print(json.dumps([os.environ["BROKER"], os.getcwd(), sys.path[:2]]))
"""
        told = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True).stdout
    finally:
        worker.kill()
        worker.wait()
    assert json.loads(told) == ["redis://x", str(inside), [str(inside), "/more/code"]]
