"""The benchmarks measure what they say they do, and fail where a count is off and nowhere else."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from benchmarks.analysis import odd
from benchmarks.memory import OWN, most

LARGE = 150 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of it there")
def test_memory_is_the_childs_own_and_not_its_parents() -> None:
    child = f"print(repr(open({str(OWN)!r}).read()), flush=True)"
    started = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = f"held = b'x' * {LARGE}; {started}; {child}"
    told = subprocess.run([sys.executable, "-c", parent], check=True, capture_output=True, text=True, timeout=60)
    of_child, of_parent = (most(ast.literal_eval(line)) for line in told.stdout.splitlines())
    assert of_child < 100 < LARGE / 2**20 < of_parent


def test_a_status_that_tells_of_no_memory_is_no_small_memory() -> None:
    with pytest.raises(ValueError, match="VmHWM"):
        most("Name:\tpython\nVmRSS:\t  1024 kB\n")


def test_more_pods_take_more_memory_or_the_figure_is_off() -> None:
    assert odd({"10": 50.0, "100": 55.0, "1000": 60.0}) == ""
    assert odd({"10": 50.0, "100": 70.0, "1000": 50.0}).startswith("1000 pods took 50 MB, and 10 took 50 MB")
