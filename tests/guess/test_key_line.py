"""Where the deployment file says how the key arrives, the drafted file leaves that to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.commands.init import render
from pytest_llamakey.guess.draft import draft

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_llamakey.guess.fields import Draft
    from tests.guess.conftest import Project

MANIFEST = """
apiVersion: v1
kind: Service
metadata: { name: web }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  template:
    spec:
      containers:
        - name: app
          image: registry/app:1
          readinessProbe: { httpGet: { path: /up, port: 80 } }
"""
REFERENCE = """          env:
            - name: OPENAI_API_KEY
              valueFrom: { secretKeyRef: { name: openai, key: token } }
"""
ALL_ITEMS = """          envFrom:
            - secretRef: { name: openai }
"""
MOUNTED = """          volumeMounts: [{ name: keys, mountPath: /etc/keys }]
      volumes:
        - name: keys
          secret: { secretName: openai, items: [{ key: openai_api_key, path: key }] }
"""


def left_out(made: Draft) -> tuple[str | None, str]:
    """What is said of a key that does not stand in the file."""
    (field,) = [each for each in made.fields if each.name == "key"]
    assert field.left_out
    assert "\nkey = " not in render(made)
    assert f"\n# key is left out: {field.why}" in render(made)
    return field.value, field.why


SECRET = """---
apiVersion: v1
kind: Secret
metadata: { name: openai }
stringData: { openai_api_key: "" }
"""


@pytest.mark.parametrize(
    ("way", "key", "line"),
    [
        (REFERENCE, "secret:openai/token", 18),
        (ALL_ITEMS, "secret:openai/OPENAI_API_KEY", 17),
        (MOUNTED + SECRET, "secret:openai/openai_api_key", 19),
    ],
)
def test_manifests_say_it_themselves(project: Project, way: str, key: str, line: int) -> None:
    made = project(k8s__web_DOT_yaml=MANIFEST + way, k8s__helm_DOT_yaml="a: {{ .Values.b }}\n")
    assert made.runtime == "kubernetes"
    assert made.get("manifests") == ["k8s/web.yaml"]
    assert (made.get("workload"), made.get("ready")) == ("deployment/web", "/up")
    assert left_out(made) == (key, f"each run takes its way from k8s/web.yaml:{line}")


def test_a_mounted_secret_whose_items_nobody_knows_is_open(project: Project) -> None:
    made = project(web_DOT_yaml=MANIFEST + MOUNTED.replace(", items: [{ key: openai_api_key, path: key }]", ""))
    assert made.get("key") is None
    assert "key: which item of openai (web.yaml:19) is it" in made.open


def test_a_mounted_secret_that_is_made_elsewhere(project: Project) -> None:
    made = project(web_DOT_yaml=MANIFEST + MOUNTED)
    assert made.get("key") == "secret:openai/openai_api_key"


def test_the_workload_that_is_given_a_key_is_the_one_under_test(project: Project) -> None:
    made = project(a_DOT_yaml=MANIFEST.replace("name: web", "name: front"), b_DOT_yaml=MANIFEST + ALL_ITEMS)
    assert made.get("workload") == "deployment/web"


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ("env_file: app.env", "dotenv:app.env:LLM_API_KEY"),
        ("env_file: gone.env", "dotenv:gone.env:OPENAI_API_KEY"),
        ("secrets: [openai_key]", "file:./key.txt"),
    ],
)
def test_a_compose_file_says_it_itself(project: Project, service: str, key: str) -> None:
    compose = f"services:\n  web:\n    build: .\n    {service}\nsecrets:\n  openai_key: {{ file: ./key.txt }}\n"
    made = project(compose_DOT_yaml=compose, **{"app.env": "LLM_API_KEY=x\n"})
    assert left_out(made) == (key, "each run takes its way from compose.yaml:4")


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("env_file: plain.env", "key: plain.env (compose.yaml:4) holds no variable that is called a key"),
        ("secrets: [token]", "key: whether token (compose.yaml:4) is the model's key"),
    ],
)
def test_a_way_that_may_be_anothers_is_no_more_than_an_offer(project: Project, service: str, said: str) -> None:
    compose = f"services:\n  web:\n    build: .\n    {service}\nsecrets:\n  token: {{ file: ./token }}\n"
    made = project(compose_DOT_yaml=compose, **{"plain.env": "LOG=info\n"})
    assert made.get("key") is None
    assert said in made.open


UNIT = "[Service]\nExecStart=/opt/app/bin/gunicorn app:app -b 127.0.0.1:80\n"
IMAGE = 'FROM x\nEXPOSE 80\nCMD ["/lib/systemd/systemd"]\n'


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("EnvironmentFile=/etc/app.env", "dotenv:/etc/app.env:OPENAI_API_KEY"),
        ("LoadCredential=openai:/etc/openai_key", "file:/etc/openai_key"),
        ("PassEnvironment=LANG OPENAI_API_KEY", "env:OPENAI_API_KEY"),
    ],
)
def test_a_unit_says_it_itself(project: Project, line: str, way: str) -> None:
    made = project(Dockerfile=IMAGE, app_DOT_service=f"{UNIT}{line}\n")
    assert made.runtime == "systemd"
    assert left_out(made) == (way, "each run takes its way from app.service:3")


def test_a_path_that_only_systemd_knows_stays_open(project: Project) -> None:
    made = project(Dockerfile=IMAGE, app_DOT_service=f"{UNIT}EnvironmentFile=%h/.env\n")
    assert made.get("key") == "env:OPENAI_API_KEY"
    assert any("only systemd can tell which file this is" in line for line in made.open)


def test_a_unit_that_brings_no_key_leaves_it_to_the_code(project: Project) -> None:
    made = project(Dockerfile=IMAGE, app_DOT_service=f"{UNIT}PassEnvironment=LANG\n")
    assert made.get("key") == "env:OPENAI_API_KEY"


def test_a_plain_process_is_given_the_variable_that_a_unit_reads_from_a_file(project: Project) -> None:
    made = project(app_DOT_service=f"{UNIT}EnvironmentFile=/etc/app.env\n")
    assert made.get("key") == "env:OPENAI_API_KEY"
    (why,) = [each.why for each in made.fields if each.name == "key"]
    assert "app.service:3 EnvironmentFile=/etc/app.env" in why


def test_a_plain_process_gets_no_credential_of_systemds(project: Project) -> None:
    made = project(app_DOT_service=f"{UNIT}LoadCredential=openai:/etc/openai_key\n")
    assert made.get("key") is None
    assert any(
        line.startswith("key: app.service:3 LoadCredential=openai:/etc/openai_key brings it") for line in made.open
    )


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ('import os\nkey = os.environ["LLM_API_KEY"]\n', "LLM_API_KEY"),
        ("from openai import AzureOpenAI\nclient = AzureOpenAI()\n", "AZURE_OPENAI_API_KEY"),
    ],
)
def test_a_file_that_is_not_here_brings_the_variable_that_the_code_reads(
    project: Project, code: str, name: str
) -> None:
    made = project(Dockerfile=IMAGE, app_DOT_service=f"{UNIT}EnvironmentFile=/etc/app.env\n", app_DOT_py=code)
    assert (made.runtime, made.get("key")) == ("systemd", f"dotenv:/etc/app.env:{name}")
    (why,) = [each.why for each in made.fields if each.name == "key"]
    assert why.startswith("app.service:3; the variable: ")


def test_the_env_file_of_a_service_and_the_variable_that_the_code_reads(project: Project) -> None:
    compose = "services:\n  web:\n    build: .\n    env_file: app.env\n"
    code = 'import os\nkey = os.environ["LLM_API_KEY"]\n'
    made = project(compose_DOT_yaml=compose, app_DOT_py=code)
    assert made.get("key") == "dotenv:app.env:LLM_API_KEY"
    made = project(compose_DOT_yaml=compose, app_DOT_py=code, **{"app.env": "OPENAI_API_KEY=x\n"})
    assert left_out(made)[0] == "dotenv:app.env:OPENAI_API_KEY"


@pytest.mark.parametrize(
    "kind", ["EnvironmentFile=/etc/old.env", "LoadCredential=openai:/k", "PassEnvironment=LLM_KEY"]
)
def test_a_line_that_is_taken_back_brings_nothing(project: Project, kind: str) -> None:
    made = project(app_DOT_service=f"{UNIT}{kind}\n{kind.partition('=')[0]}=\n")
    assert made.get("key") == "env:OPENAI_API_KEY"
    (why,) = [each.why for each in made.fields if each.name == "key"]
    assert why == "what OpenAI's clients read"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("spec:\n  template:", "spec: x\nmore:\n  template:"),
        ("kind: Deployment", "kind: [Deployment]"),
        ("kind: Deployment", "kind: { a: b }"),
        ("metadata: { name: web }\nspec", "metadata: web\nspec"),
        ("metadata: { name: web }\nspec", "metadata: { name: [web] }\nspec"),
        ("    spec:\n", "    spec: x\n    more:\n"),
        ("      containers:\n", "      containers: web\n      more:\n"),
        (
            "        - name: app\n          image: registry/app:1\n          readiness",
            "        - web\n        - readiness",
        ),
        ("readinessProbe: {", "readinessProbe: x\n          more: {"),
        ("readinessProbe: { httpGet: {", "readinessProbe: { httpGet: x, more: {"),
        ("path: /up", "path: [up]"),
    ],
)
def test_what_a_cluster_would_refuse_is_passed_over(tmp_path: Path, was: str, becomes: str) -> None:
    assert MANIFEST.count(was) == 1
    (tmp_path / "a.yaml").write_text(MANIFEST.replace(was, becomes))
    (tmp_path / "b.yaml").write_text(MANIFEST.replace("name: web", "name: other") + ALL_ITEMS)
    made = draft(tmp_path)
    assert (made.runtime, made.get("workload"), made.get("ready")) == ("kubernetes", "deployment/other", "/up")
