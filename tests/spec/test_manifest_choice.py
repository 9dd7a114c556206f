"""The key of a workload whose ``llamakey.toml`` does not say how it is delivered comes by what the manifests say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.spec import manifest_choice
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.other import deployment_of
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
        - name: app
          image: web:1
          CONTAINER
      volumes: [{name: keys, secret: {secretName: openai}}]
"""
ENV = "env: [{name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {name: openai, key: ITEM}}}]"
MOUNT = "volumeMounts: [{name: keys, mountPath: /run/keys}]"
FROM = "envFrom: [{prefix: PREFIX, secretRef: {name: openai}}]"
SECRET = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: openai}\nstringData: {ITEMS}\n"


def ways(folder: Path, text: str, key: str = "") -> list[tuple[str, str]]:
    (folder / "app.yaml").write_text(text)
    if key:
        (folder / "llamakey.toml").write_text(f'[[deployment]]\nmanifests = ["app.yaml"]\nkey = "{key}"\n')
        (deployment,) = read_deployments(folder / "llamakey.toml", folder, Defaults())
    else:
        deployment = deployment_of(folder / "app.yaml", folder, Defaults())
    return [(way.scheme, way.target) for way in manifest_choice.with_key(deployment).key]


@pytest.mark.parametrize(
    ("container", "items", "target"),
    [
        (ENV.replace("ITEM", "api-key"), None, "openai/api-key"),
        (ENV.replace("ITEM", "api-key"), "api-key: x", "openai/api-key"),
        (ENV.replace("ITEM", "token"), "token: x, api-key: y", "openai/token"),
        (ENV.replace("ITEM", "api_key"), "openai-api-key: x", "openai/openai-api-key"),
        (ENV.replace("ITEM", "openai_key"), "azure-api-key: x, openai-api-key: y", "openai/openai-api-key"),
        (ENV.replace("ITEM", "password"), "azure-api-key: x, openai-api-key: y", "openai/password"),
        (FROM.replace("PREFIX", '""'), None, "openai/OPENAI_API_KEY"),
        (FROM.replace("PREFIX", "OPENAI_"), None, "openai/API_KEY"),
        (FROM.replace("PREFIX", '""'), "DB: x, OPENAI_API_KEY: y", "openai/OPENAI_API_KEY"),
        (MOUNT, "openai_api_key: x", "openai/openai_api_key"),
    ],
)
def test_a_secret_is_made_as_the_workload_takes_it(tmp_path, container, items, target):
    text = APP.replace("CONTAINER", container) + (SECRET.replace("ITEMS", items) if items else "")
    assert ways(tmp_path, text) == [("secret", target)]


@pytest.mark.parametrize(
    "container",
    [
        "env: [{name: MODE, value: a}]",
        "env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]",
        FROM.replace("PREFIX", "DB_"),
        MOUNT,
    ],
)
def test_without_one_it_is_the_usual_variable(tmp_path, container):
    assert ways(tmp_path, APP.replace("CONTAINER", container)) == [("env", "OPENAI_API_KEY")]


def test_what_the_deployments_own_file_says_holds(tmp_path):
    text = APP.replace("CONTAINER", ENV.replace("ITEM", "api-key"))
    assert ways(tmp_path, text, "env:OPENAI_API_KEY") == [("env", "OPENAI_API_KEY")]
    assert ways(tmp_path, text, "none") == [("none", "")]
