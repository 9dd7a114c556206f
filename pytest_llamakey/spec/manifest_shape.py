"""The shape of those parts of a Kubernetes object that are read here; what else it holds is the API server's affair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError
from pydantic.alias_generators import to_camel

from pytest_llamakey.spec import quotable

Texts = dict[Any, Any] | None
Parts = list[dict[Any, Any]] | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", alias_generator=to_camel)


class _Metadata(_Part):
    name: StrictStr | None = None
    labels: Texts = None
    annotations: Texts = None


class _Object(_Part):
    """Any object (Kubernetes API conventions, "Types")."""

    api_version: StrictStr = Field(min_length=1)
    kind: StrictStr = Field(min_length=1)
    metadata: _Metadata | None = None


class _Named(_Metadata):
    name: StrictStr = Field(min_length=1)


class _Applied(_Object):
    metadata: _Named


class _List(_Object):
    items: list[Any] | None = None


class _Data(_Applied):
    data: Texts = None


class _Secret(_Data):
    string_data: Texts = None


class _Service(_Applied):
    class Spec(_Part):
        ports: Parts = None

    spec: Spec | None = None


class _RoleBinding(_Applied):
    subjects: Parts = None


class _SecretRef(_Part):
    name: StrictStr | None = None


class _Env(_Part):
    class From(_Part):
        secret_key_ref: _SecretRef | None = None

    name: StrictStr
    value_from: From | None = None


class _EnvFrom(_Part):
    secret_ref: _SecretRef | None = None


class _Port(_Part):
    container_port: int


class _Container(_Part):
    name: StrictStr
    image: StrictStr | None = None
    working_dir: StrictStr | None = None
    command: list[StrictStr] | None = None
    args: list[StrictStr] | None = None
    env: list[_Env] | None = None
    env_from: list[_EnvFrom] | None = None
    ports: list[_Port] | None = None
    volume_mounts: Parts = None


class _SecretVolume(_Part):
    items: Parts = None


class _Volume(_Part):
    class Projected(_Part):
        class Source(_Part):
            secret: _SecretVolume | None = None

        sources: list[Source] | None = None

    name: StrictStr
    secret: _SecretVolume | None = None
    projected: Projected | None = None


class _PodSpec(_Part):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    volumes: list[_Volume] | None = None
    host_aliases: Parts = None


class _Template(_Part):
    metadata: _Metadata | None = None
    spec: _PodSpec | None = None


class _Workload(_Applied):
    class Spec(_Part):
        template: _Template | None = None
        replicas: int | None = None
        parallelism: int | None = None
        completions: int | None = None
        update_strategy: Texts = None

    spec: Spec | None = None


class _Pod(_Applied):
    spec: _PodSpec | None = None


_SHAPES: Mapping[str, type[_Object]] = {
    "List": _List,
    "Secret": _Secret,
    "ConfigMap": _Data,
    "Service": _Service,
    "RoleBinding": _RoleBinding,
    "Pod": _Pod,
    "ServiceAccount": _Applied,
    "Role": _Applied,
    "PersistentVolumeClaim": _Applied,
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"), _Workload),
}
_WANTED = {
    "string_type": "a string",
    "string_too_short": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "missing": "a value",
}


def mistakes(value: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """What is wrong with ``value`` as an object of the Kubernetes API: the place inside it, and a sentence."""
    if not isinstance(value, Mapping) or not value.get("kind"):
        return [((), "this is no Kubernetes object: it has no `kind`")]
    try:
        _SHAPES.get(str(value["kind"]), _Object).model_validate(value)
    except ValidationError as error:
        return [
            (place, _sentence(place, details["type"], details["input"], details["msg"]))
            for details in error.errors(include_url=False)
            if (place := tuple(details["loc"]))
        ]
    return []


def _sentence(place: tuple[str | int, ...], kind: str, found: Any, message: str) -> str:
    label = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    if kind == "missing":
        return f"this is no Kubernetes object that a cluster takes: it has no `{label}`"
    told = quotable.found(found, place, "a map", lambda value: "null" if value is None else str(value))
    return f"{label}: expected {_WANTED.get(kind, message)}, found {told}"
