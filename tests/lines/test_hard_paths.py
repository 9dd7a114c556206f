"""What is told to people whose code names a path that only a container has."""

from __future__ import annotations

from pytest_llamakey.lines.hard_paths import advice

SAID = "FileNotFoundError: [Errno 2] No such file or directory: '/run/secrets/openai'"


def test_a_hard_coded_path_in_the_process_runtime() -> None:
    told = advice("process", ["env:OPENAI_API_KEY", "file:/run/secrets/openai"], SAID)
    assert "names /run/secrets/openai itself" in told
    assert 'KEY_FILE = "/run/secrets/openai"' in told


def test_another_file_another_runtime() -> None:
    assert advice("docker", ["file:/run/secrets/openai"], SAID) == ""
    assert advice("process", ["file:/run/secrets/other"], SAID) == ""
    assert advice("process", ["file:secrets/openai"], SAID) == ""
