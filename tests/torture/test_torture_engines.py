"""A container engine of the torture's own goes with the torture."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tools.torture.bench import ROOT, until

if TYPE_CHECKING:
    from pathlib import Path

BEGINS = """
import sys, time
from pathlib import Path
from tools.torture.engines import Engine
print(Engine(Path(sys.argv[1]))._inside, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="namespaces need root on Linux")
def test_namespaces_and_folder_are_gone_after_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    (folder / "data").mkdir(parents=True)
    torture = subprocess.Popen([sys.executable, "-c", BEGINS, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
    with torture:
        assert torture.stdout is not None
        first = psutil.Process(int(torture.stdout.readline()))
        torture.kill()
    assert until(lambda: not folder.exists() and not first.is_running(), 20)
