"""Whole runs on a real cluster of workloads that ask for a Secret, or an item of one, that nobody brings."""

from __future__ import annotations

import json

import pytest
from kubernetes_bench import ClusterBench, manifest

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]

SECRET = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: openai}\nstringData: {api-key: your-key-here}\n"


@pytest.fixture
def bench(tmp_path, tmp_path_factory):
    return ClusterBench(tmp_path, {"XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache")})


def asks(name: str, item: str, *, optional: bool) -> str:
    """The container's variable, by a ``secretKeyRef`` in block style: the line of its ``key`` is its own."""
    return (
        "env:\n- name: OPENAI_API_KEY\n  valueFrom:\n    secretKeyRef:\n"
        f"      name: {name}\n      key: {item}\n      optional: {json.dumps(optional)}\n"
    )


def line_of(bench: ClusterBench, where: str) -> str:
    """The text of a place like ``item.yaml:20``."""
    file, _, number = where.rpartition(":")
    return (bench.folder / file).read_text().splitlines()[int(number) - 1].strip()


def test_a_pod_that_starts_without_an_optional_key_is_told_with_the_line_that_asks(bench, python_image):
    item = asks("openai", "api_key", optional=True)
    whole = asks("openai-keys", "api-key", optional=True)
    bench.deployment("item", manifest("item", python_image, container=item) + SECRET, "workers = 2\n")
    bench.deployment("whole", manifest("whole", python_image, container=whole), "workers = 2\n")
    nothing = manifest("nothing", python_image, container=asks("openai", "api-key", optional=True))
    bench.deployment("nothing", nothing, "workers = 2\n")
    toml = bench.folder / "llamakey.toml"
    before, end = toml.read_text().rsplit('key = "secret:openai/api-key"', 1)
    toml.write_text(f'{before}key = "none"{end}')
    output, found = bench.run()
    for name, line in (("item", "key: api_key"), ("whole", "key: api-key"), ("nothing", "key: api-key")):
        assert (found[name]["verdict"], found[name]["error"]) == ("fail", ""), output
        assert found[name]["seen_workers"] == 2, output
        assert found[name]["causes"] == ["key-missing"], output
        (finding,) = found[name]["findings"]
        assert len(finding["workers"]) == 2
        assert line_of(bench, finding["where"][0]) == line, output


def test_a_misspelt_item_is_told_where_the_manifest_alone_is_named(bench, python_image):
    text = manifest("web", python_image, container=asks("openai", "api_key", optional=False)) + SECRET
    (bench.folder / "deploy.yaml").write_text(text)
    bench.target = "deploy.yaml"
    output, found = bench.run()
    (web,) = found.values()
    assert (web["verdict"], web["causes"]) == ("fail", ["key-missing"]), output
    (finding,) = web["findings"]
    assert line_of(bench, finding["where"][0]) == "key: api_key", output
    assert "couldn't find key api_key in Secret" in finding["evidence"][0]
    assert "item api-key of the Secret openai" in finding["fix"]
