"""Fields of a deployment that exclude each other, or do not belong to its runtime; each told with what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_llamakey.spec.model import OPENAI_KEY, KeyDelivery, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUNTIMES_OF: Mapping[str, tuple[RuntimeName, ...]] = {
    "build": ("docker", "systemd", "kubernetes"),
    "dockerfile": ("docker", "systemd", "kubernetes"),
    "image": ("docker", "systemd", "kubernetes"),
    "compose": ("compose",),
    "service": ("compose",),
    "services": ("docker", "process", "systemd"),
    "manifests": ("kubernetes",),
    "workload": ("kubernetes",),
    "unit": ("systemd",),
    "read_only": ("docker",),
    "tmpfs": ("docker",),
    "networks": ("docker", "systemd"),
}
"""The runtimes that a field which only some of them know belongs to."""


class Conflict(NamedTuple):
    """What is wrong and what to write instead, and the fields at whose lines it is told, the likeliest first."""

    told: str
    fields: tuple[str, ...]


def between_fields(values: Mapping[str, Any], runtime: RuntimeName) -> Iterator[Conflict]:
    """Each conflict among ``values``, fields under the model's names, in a deployment of ``runtime``."""
    for name, runtimes in RUNTIMES_OF.items():
        if values.get(name) and runtime not in runtimes:
            meant = " or ".join(f'"{one}"' for one in runtimes)
            yield Conflict(
                f'{name} does not belong to runtime "{runtime}"; leave it out, or write runtime = {meant}', (name,)
            )
    other = next((name for name in ("build", "dockerfile") if values.get(name)), None)
    if values.get("image") and other:
        yield Conflict(f"image names a ready image and {other} builds one; leave one of them out", ("image", other))
    if values.get("networks") and values.get("egress") == "deny":
        yield Conflict(
            'egress = "deny" has the app reach nothing but its services, and networks names what it is to reach; '
            "leave one of them out",
            ("networks",),
        )
    if values.get("tmpfs") and not values.get("read_only"):
        yield Conflict("tmpfs says what stays writable with read_only = true; add that, or leave it out", ("tmpfs",))


def of_the_key(values: Mapping[str, Any], runtime: RuntimeName) -> Iterator[Conflict]:
    """Each conflict of the ways in which the key is delivered, in a deployment of ``runtime``."""
    ways = values.get("key", (KeyDelivery("env", OPENAI_KEY),))
    given = values.get("env", {})
    for way in ways:
        if way.scheme == "env" and way.target in given:
            yield Conflict(
                f"env.{way.target}: this is the variable that the key is delivered in; leave it out, or write "
                'key = "none" for a deployment that brings its own',
                (f"env.{way.target}",),
            )
    if any(way.scheme == "none" for way in ways) and len(ways) > 1:
        yield Conflict('key: "none" says that nothing is delivered and cannot stand beside another way', ("key",))
    if runtime != "kubernetes" and any(way.scheme == "secret" for way in ways):
        yield Conflict(
            f'key: "secret:" is a Secret of Kubernetes, and the runtime is "{runtime}"; write "env:NAME", '
            '"dotenv:PATH" or "file:PATH"',
            ("key",),
        )
    if values.get("rotation") == "in-place" and any(way.scheme != "secret" for way in ways):
        yield Conflict(
            'rotation = "in-place" changes a Secret under running pods; write key = "secret:NAME/ITEM" for the one '
            "that the manifests take the key from, or leave rotation out",
            ("rotation",),
        )
