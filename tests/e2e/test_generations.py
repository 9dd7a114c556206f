"""Pairs on the oldest client generation that is told to work, app and plugin in its environment."""

from __future__ import annotations

import sys

import pytest

from tools.generations import GENERATIONS, run

OLDEST = GENERATIONS[0]
# Where a client's version shows: built without a key, with an empty one, for Azure, and failing in words of its own.
PAIRS = ["client-before-env", "key-missing", "dotenv-shadowed", "provider-mismatch"]


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] > OLDEST.newest_python, reason="its clients have no wheels for this Python")
def test_pairs_come_out_on_the_oldest_generation():
    ran = run(OLDEST, PAIRS)
    assert ran.versions["llama-index-core"].startswith("0.10.")
    assert ran.wrong == {f"{pair}/{half}": "" for pair in PAIRS for half in ("broken", "fixed")}
