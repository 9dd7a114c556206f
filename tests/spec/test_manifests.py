"""Manifests: every object with its line, the workload under test, and what its Secrets arrive as."""

from __future__ import annotations

import shutil

import pytest

from pytest_llamakey.spec import keywords, manifests
from pytest_llamakey.spec.model import Defaults, SpecError
from pytest_llamakey.spec.toml import read_deployments

APP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      containers:
        - name: sidecar
          image: envoy
        - name: app
          image: web:1
          ports: [{containerPort: 8000}]
          env:
            - name: OPENAI_API_KEY
              valueFrom:
                secretKeyRef:
                  name: openai
                  key: api-key
          envFrom:
            - prefix: LLM_
              secretRef:
                name: openai
                optional: true
          volumeMounts:
            - {name: keys, mountPath: /run/keys}
            - {name: all, mountPath: /run/all}
            - {name: one, mountPath: /etc/one.key, subPath: one.key}
      volumes:
        - name: keys
          projected:
            sources:
              - configMap: {name: other}
              - secret:
                  name: openai
                  items:
                    - key: api-key
                      path: openai/key
        - name: all
          secret:
            secretName: openai
        - name: one
          secret: {secretName: openai}
"""
JOB = (
    "apiVersion: batch/v1\nkind: Job\nmetadata: {name: nightly}\nspec: {template: {spec: {containers: [{name: j}]}}}\n"
)


@pytest.fixture
def read(tmp_path):
    def reading(files: dict[str, str], **fields: object) -> manifests.Manifests:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        lines = [f"{name} = {value!r}" for name, value in {"manifests": list(files), **fields}.items()]
        (tmp_path / "llamakey.toml").write_text("[[deployment]]\n" + "\n".join(lines).replace("'", '"'))
        (deployment,) = read_deployments(tmp_path / "llamakey.toml", tmp_path.parent, Defaults())
        return manifests.read(deployment)

    return reading


def test_what_the_items_of_a_secret_arrive_as(read, tmp_path):
    uses = read({"app.yaml": APP}, port=8000).workload.uses
    here = f"{tmp_path.name}/app.yaml"
    assert [(use.arrives_as("api-key"), str(use.origin), use.optional) for use in uses] == [
        ("OPENAI_API_KEY", f"{here}:18", False),
        ("LLM_api-key", f"{here}:22", True),
        ("/run/keys/openai/key", f"{here}:36", False),
        ("/run/all/api-key", f"{here}:40", False),
        ("", f"{here}:42", False),
    ]
    assert [use.fixed for use in uses] == [True, True, False, False, True], "variables, and what subPath mounts"
    assert uses[-1].arrives_as("one.key") == "/etc/one.key"
    assert uses[0].arrives_as("api_key") == ""


def test_the_container_is_the_one_with_the_port_or_the_first(read):
    assert read({"app.yaml": APP}, port=8000).workload.container["name"] == "app"
    assert read({"app.yaml": APP}).workload.container["name"] == "sidecar"
    chosen = APP.replace("  template:\n", "  template:\n    metadata: {annotations: {%s: app}}\n")
    assert read({"app.yaml": chosen % "kubectl.kubernetes.io/default-container"}).workload.container["name"] == "app"


@pytest.mark.parametrize("workload", ["deployment/web", "deploy/web", "deployments.apps/web", "web"])
def test_a_workload_is_called_as_kubectl_does(read, workload):
    assert read({"app.yaml": APP, "job.yaml": JOB}, workload=workload).workload.resource.called == "deployment/web"


def test_a_workload_that_is_not_there_or_not_the_only_one(read, tmp_path):
    with pytest.raises(SpecError, match=r'add workload = "deployment/web" .there are deployment/web, job/nightly'):
        read({"app.yaml": f"{APP}---\n{JOB}"})
    with pytest.raises(SpecError, match=r'llamakey\.toml:3: .*no workload "deployment/wob".*"deployment/web"'):
        read({"app.yaml": APP}, workload="deployment/wob")


def test_a_folder_holds_all_of_its_manifests_and_a_list_its_items(read):
    items = f"apiVersion: v1\nkind: List\nitems:\n- {JOB.replace(chr(10), chr(10) + '  ').strip()}\n"
    found = read({"k8s/app.yaml": APP, "k8s/list.yaml": items, "k8s/notes.txt": "no manifest"}, manifests=["k8s"],
                 workload="job/nightly")  # fmt: skip
    assert [one.called for one in found.resources] == ["deployment/web", "job/nightly"]
    assert str(found.resources[1].origin("metadata", "name")).endswith("k8s/list.yaml:6")


def test_what_is_no_manifest_is_told_with_its_line(read):
    with pytest.raises(SpecError, match=r"app\.yaml:2: this is no Kubernetes object"):
        read({"app.yaml": "# nothing\nreplicas: 2\n"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- null\n", r"app\.yaml:1: this is no Kubernetes object: it has no `kind`"),
        (f"{JOB}---\n- null\n", r"app\.yaml:6: this is no Kubernetes object"),
        (APP.replace("metadata: {name: web}", "metadata: a"), r"app\.yaml:3: metadata: expected a map, found a$"),
        (APP.replace("metadata: {name: web}", "metadata: {}"), r"app\.yaml:3: .* it has no `metadata\.name`"),
        (APP.partition("\n")[2], r"app\.yaml:1: .* it has no `apiVersion`"),
        (APP.replace("- name: sidecar\n          image", "- image"), r"app\.yaml:8: .* `spec\.template\.spec\.conta"),
        (APP.replace("- name: OPENAI_API_KEY", "- null\n            - name: X"), r":14: .*\.env\[0\]: expected a map"),
        (JOB.replace("[{name: j}]", "{name: j}"), r"app\.yaml:4: spec.*containers: expected a list, found a map"),
        (JOB.replace("spec: {template", "spec: {parallelism: many, template"), r"parallelism: expected a whole number"),
        ("apiVersion: v1\nkind: List\nitems:\n- null\n", r"app\.yaml:4: this is no Kubernetes object"),
        ("apiVersion: v1\nkind: List\nitems: a\n", r"app\.yaml:3: items: expected a list"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: sk\n", r":4: stringData: expected a map"),
        ("apiVersion: v1\nkind: [Secret]\nmetadata: {name: x}\n", r":2: kind: expected a string, found a list"),
    ],
)  # fmt: skip
def test_what_no_cluster_would_take_is_told_with_its_line(read, text, told):
    with pytest.raises(SpecError, match=told):
        read({"app.yaml": text})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (APP.replace("- name: OPENAI_API_KEY", "- OPENAI_API_KEY=sk-proj-0te5ter0\n            - name: X"), "a map"),
        (APP.replace("image: web:1", "image: web:1\n          command: OPENAI_API_KEY=sk-proj-0te5ter0 x"), "a list"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: sk-proj-0te5ter0\n", "a map"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: c2st0te5ter0\n", "a map"),
    ],
)
def test_a_mistake_is_told_without_the_key_in_it(read, text, told):
    with pytest.raises(SpecError, match=f": expected {told}, found a string$") as raised:
        read({"app.yaml": text}, port=8000)
    assert "0te5ter0" not in str(raised.value)


def test_a_key_in_another_place_is_not_told_either(read):
    text = f"apiVersion: v1\nkind: Service\nmetadata: {'a ' * 25}sk-proj-0te5ter0te5ter0\n"
    with pytest.raises(SpecError, match=r"metadata: expected a map, found a string$"):
        read({"app.yaml": text})


@pytest.mark.skipif(not (shutil.which("kubectl") or shutil.which("kustomize")), reason="kubectl or kustomize")
def test_kustomize_keeps_the_lines_of_what_it_is_made_of(read):
    kustomization = "namePrefix: staging-\nresources: [app.yaml]\nsecretGenerator: [{name: x, literals: [a=b]}]\n"
    files = {"k8s/app.yaml": APP, "k8s/kustomization.yaml": kustomization}
    found = read(files, manifests=["k8s"], port=8000)
    assert found.workload.resource.called == "deployment/staging-web"
    assert str(found.workload.uses[0].origin).endswith("k8s/app.yaml:18")
    made = next(one for one in found.resources if one.kind == "Secret")
    assert str(made.origin()).endswith("k8s/kustomization.yaml")
    assert found.secret_called("x") == made.name != "x"
    assert found.secret_called("openai") == "openai", "it is not made here, and used by its own name"


def test_a_manifest_named_by_itself(tmp_path):
    (tmp_path / "app.yaml").write_text(APP)
    deployment = keywords.target(tmp_path / "app.yaml", tmp_path, Defaults())
    assert manifests.read(deployment).resources[0].origin("kind") == manifests.Origin("app.yaml", 2)
