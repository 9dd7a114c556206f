"""What is said of an image that is here, elsewhere or nowhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from pytest_llamakey.doctor.needed import Needed
from pytest_llamakey.doctor.there import OnNodes, Row, full_name, on_nodes, row_of
from pytest_llamakey.runtimes.kubernetes_api import ApiFault

NODES = OnNodes(frozenset({"docker.io/library/redis:7", "docker.io/shop/web:latest"}), complete=True)
SOME = OnNodes(frozenset(), complete=False)


def engine(*here: str, pulled: tuple[str, ...] = ()) -> Any:
    """An engine with these images, and a registry that has some."""

    def ask(name: str) -> None:
        if name not in pulled:
            raise APIError("no", explanation="not found\nmore")

    return SimpleNamespace(
        images=SimpleNamespace(list=lambda name: [name] if name in here else [], get_registry_data=ask)
    )


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("redis", "docker.io/library/redis:latest"),
        ("docker.io/redis:7", "docker.io/library/redis:7"),
        ("shop/web:2", "docker.io/shop/web:2"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
        ("ghcr.io/a/b@sha256:12", "ghcr.io/a/b@sha256:12"),
        ("<none>:<none>", "docker.io/library/<none>:<none>"),
    ],
)
def test_an_image_has_one_full_name(name: str, full: str) -> None:
    assert full_name(name) == full


def test_with_an_engine() -> None:
    client, redis = engine("a", pulled=("redis:7",)), Needed("redis:7", "service cache, llamakey.toml:3")
    assert row_of(Needed("a"), client, None) == Row("a", well=True, told="is here")
    assert row_of(redis, client, None) == Row("redis:7", True, "can be pulled (service cache, llamakey.toml:3)")
    told = "is not here and cannot be pulled (not found) (service cache, llamakey.toml:3); pull or load it first"
    assert row_of(redis, engine(), None) == Row("redis:7", well=False, told=told)
    assert row_of(redis, None, None) is None


def test_what_cannot_be_told_of_a_service() -> None:
    assert row_of(Needed("service a", trouble="no file"), None, None) == Row("service a", well=False, told="no file")
    assert row_of(Needed("service a", trouble="far", blocks=False), None, None) == Row("service a", None, "far")


@pytest.mark.parametrize(
    ("name", "policy", "nodes", "pulled", "well", "told"),
    [
        ("redis:7", "Never", NODES, (), True, "is on a node of the cluster"),
        ("redis:7", "IfNotPresent", NODES, (), True, "is on a node of the cluster"),
        ("redis:8", "Never", NODES, (), False, "is on no node, and its imagePullPolicy is Never, so it must be"),
        (
            "redis:8",
            "Never",
            SOME,
            (),
            None,
            "the nodes do not tell whether they have it; its imagePullPolicy is Never",
        ),
        ("redis:8", "IfNotPresent", NODES, ("redis:8",), True, "can be pulled (imagePullPolicy: IfNotPresent)"),
        ("redis:8", "IfNotPresent", NODES, (), None, "cannot be asked for from here (not found), and the nodes are to"),
        ("shop/web", "Always", NODES, (), None, "is on a node, but cannot be asked for from here (not found)"),
    ],
)
def test_in_a_cluster(
    name: str, policy: str, nodes: OnNodes, pulled: tuple[str, ...], well: bool | None, told: str
) -> None:
    row = row_of(Needed(name, "deployment/web, deploy.yaml", policy=policy), engine(pulled=pulled), nodes)
    assert row is not None
    assert (row.name, row.well) == (name, well)
    assert row.told.startswith(told)
    assert row.told.endswith(" (deployment/web, deploy.yaml)")


def test_without_a_cluster_nothing_is_said_and_without_an_engine_only_that() -> None:
    web = Needed("shop/web:3", policy="IfNotPresent")
    assert row_of(web, engine(), None) is None
    row = row_of(web, None, NODES)
    assert row is not None
    assert row.told.startswith("cannot be asked for from here (no container engine answers here)")


class Cluster:
    """A cluster whose nodes have so many images, or may not be asked."""

    def __init__(self, images: int) -> None:
        self.images = images

    def call(self, _method: str, _path: str) -> Any:
        if not self.images:
            raise ApiFault("no", 403)
        images = [{"names": [f"i:{number}"]} for number in range(self.images)]
        return {"items": [{"status": {"images": images}}, {}]}


@pytest.mark.parametrize(("images", "complete"), [(3, True), (50, False), (0, False)])
def test_nodes_tell_of_some_images_alone(images: int, complete: bool) -> None:
    cluster: Any = Cluster(images)
    found = on_nodes(cluster)
    assert (len(found.names), found.complete) == (images, complete)
