"""What is applied to a cluster, as a function of the manifests."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from pytest_llamakey.runtimes.kubernetes_patch import ROLE_LABEL, Inlay, bodies, left_out, path_of, pod_template
from pytest_llamakey.secrecy.keys import DECOY
from pytest_llamakey.spec.manifest_files import Resource
from pytest_llamakey.spec.manifests import Manifests, Workload

INLAY = Inlay(
    labels={"run": "r1"},
    address="10.0.0.1",
    hosts=("llamakey-mock", "api.openai.com"),
    environment={"OPENAI_BASE_URL": "http://llamakey-mock:1/v1", "COST": "$(FREE)"},
    agent="AGENT",
    folders=("/lib/site-packages",),
    files={"/run/key": b"sk-1"},
    secrets={"openai/api-key": "sk-canary", "extra/key": "sk-canary"},
    image="built:1",
    replicas=3,
)


def workload(kind: str = "Deployment", **container: object) -> Resource:
    app = {"name": "app", "image": "mine:1", **container}
    other = {"name": "sidecar", "image": "envoy:1"}
    spec = {"containers": [app, other], "serviceAccountName": "robot", "imagePullSecrets": [{"name": "registry"}]}
    metadata = {"name": "web", "namespace": "production", "uid": "1", "labels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    body = {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {"replicas": 1, "template": template}}
    return Resource(body, "app.yaml")


def made(*others: dict, app: Resource | None = None, inlay: Inlay = INLAY) -> dict[str, dict]:
    app = app or workload()
    resources = (app, *(Resource(other, "app.yaml") for other in others))
    return {f"{body['kind']}/{body['metadata']['name']}": body
            for body in bodies(Manifests(resources, Workload(app, 0)), inlay)}  # fmt: skip


def decoded(secret: dict) -> dict[str, str]:
    return {item: base64.b64decode(value).decode() for item, value in secret["data"].items()}


def test_the_manifest_itself_is_not_changed():
    app = workload(env=[{"name": "OPENAI_BASE_URL", "value": "x"}])
    before = repr(app.body)
    made(app=app)
    assert repr(app.body) == before


def test_a_relay_stands_before_the_containers_of_the_workloads_pods_alone():
    other = {**workload("StatefulSet").body, "metadata": {"name": "db"}}
    found = made(other, inlay=replace(INLAY, relay={"name": "relay", "image": "built:1"}))
    names = {key: [one["name"] for one in pod_template(body)[1]["containers"]]
             for key, body in found.items() if pod_template(body)}  # fmt: skip
    assert names == {"Deployment/web": ["relay", "app", "sidecar"], "StatefulSet/db": ["app", "sidecar"]}
    app = found["Deployment/web"]["spec"]["template"]["spec"]["containers"][1]
    assert {"name": "OPENAI_BASE_URL", "value": "http://llamakey-mock:1/v1"} in app["env"]


def test_the_workload_gets_probe_endpoint_key_and_image():
    app = workload(env=[{"name": "A", "value": "1"}, {"name": "OPENAI_BASE_URL", "value": "theirs"},
                        {"name": "B", "value": "$(OPENAI_BASE_URL)"}])  # fmt: skip
    body = made(app=app)["Deployment/web"]
    assert body["metadata"] == {"name": "web", "labels": {"app": "web", "run": "r1"}}
    assert body["spec"]["replicas"] == 3
    template = body["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "web", "run": "r1", ROLE_LABEL: "app"}
    container, sidecar = template["spec"]["containers"]
    assert (container["image"], container["imagePullPolicy"], sidecar["image"]) == ("built:1", "Never", "envoy:1")
    assert container["env"] == [
        {"name": "A", "value": "1"},
        {"name": "OPENAI_BASE_URL", "value": "http://llamakey-mock:1/v1"},
        {"name": "B", "value": "$(OPENAI_BASE_URL)"},
        {"name": "COST", "value": "$$(FREE)"},
    ]
    assert template["spec"]["hostAliases"] == [{"ip": "10.0.0.1", "hostnames": ["llamakey-mock", "api.openai.com"]}]
    assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    mounts = {one["mountPath"]: one["subPath"] for one in container["volumeMounts"]}
    assert mounts == {
        "/lib/site-packages/_llamakey_agent.py": "agent.py",
        "/lib/site-packages/_llamakey_agent.pth": "agent.pth",
        "/lib/site-packages/_llamakey_agent.pod": "pod",
        "/run/key": "file-0",
    }
    assert "volumeMounts" not in sidecar


def test_without_probe_and_files_nothing_is_mounted():
    found = made(inlay=Inlay(labels={}, address="10.0.0.1", hosts=("x",)))
    assert "Secret/llamakey" not in found
    assert "volumes" not in found["Deployment/web"]["spec"]["template"]["spec"]


def test_secrets_are_filled_made_and_defused():
    text = {"api-key": "old", "OPENAI_API_KEY": "sk-" + "Zq7" * 15, "mode": "fast"}
    there = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}, "stringData": text}
    found = made(there)
    assert decoded(found["Secret/openai"]) == {"api-key": "sk-canary", "OPENAI_API_KEY": DECOY, "mode": "fast"}
    assert decoded(found["Secret/extra"]) == {"key": "sk-canary"}
    assert decoded(found["Secret/llamakey"])["agent.py"] == "AGENT"


def test_what_is_withdrawn_is_not_there():
    app = workload(env=[{"name": "OPENAI_API_KEY", "value": "x"}])
    inlay = Inlay(labels={}, address="1.1.1.1", hosts=("x",), withdrawn=("OPENAI_API_KEY",), secrets={"s/i": None})
    found = made(app=app, inlay=inlay)
    assert found["Deployment/web"]["spec"]["template"]["spec"]["containers"][0]["env"] == []
    assert decoded(found["Secret/s"]) == {}


def test_nothing_reaches_out_of_the_namespace():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {
        "type": "LoadBalancer", "clusterIP": "10.96.0.7", "externalIPs": ["1.2.3.4"],
        "ports": [{"port": 80, "nodePort": 30080}]}}  # fmt: skip
    ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}}
    found = made(service, ingress)
    assert found["Service/web"]["spec"] == {"ports": [{"port": 80}]}
    assert "Ingress/web" not in found
    app = workload()
    assert left_out(Manifests((app, Resource(ingress, "x")), Workload(app, 0))) == ("ingress/web",)


def test_claims_that_the_cluster_makes_for_pods_bear_the_runs_label():
    app = workload("StatefulSet")
    spec = app.body["spec"]
    spec["volumeClaimTemplates"] = [{"metadata": {"name": "data", "labels": {"tier": "db"}}, "spec": {}}]
    cache = {"name": "cache", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
    spec["template"]["spec"]["volumes"] = [cache, {"name": "none", "emptyDir": {}}]
    found = made(app=app)["StatefulSet/web"]["spec"]
    assert found["volumeClaimTemplates"][0]["metadata"] == {"name": "data", "labels": {"tier": "db", "run": "r1"}}
    claim = found["template"]["spec"]["volumes"][0]["ephemeral"]["volumeClaimTemplate"]
    assert claim == {"metadata": {"labels": {"run": "r1"}}, "spec": {}}
    assert spec["volumeClaimTemplates"][0]["metadata"]["labels"] == {"tier": "db"}, "the user's own stay as they are"


def test_what_a_pod_needs_is_made_before_it():
    order = [name.partition("/")[0] for name in made()]
    assert order == ["ServiceAccount", "Secret", "Secret", "Secret", "Deployment"]


@pytest.mark.parametrize(("kind", "replicas"), [("StatefulSet", 3), ("DaemonSet", 1), ("Job", 1)])
def test_only_what_can_be_scaled_is(kind, replicas):
    assert made(app=workload(kind))[f"{kind}/web"]["spec"]["replicas"] == replicas


def test_where_objects_are_in_the_api():
    assert path_of({"apiVersion": "v1", "kind": "Secret"}, "x") == "api/v1/namespaces/x/secrets"
    assert path_of({"apiVersion": "batch/v1", "kind": "Job"}, "x") == "apis/batch/v1/namespaces/x/jobs"


def test_a_ready_image_may_be_pulled_and_one_built_here_may_not():
    built, ready = INLAY, replace(INLAY, image="registry.example/app:2", ready_made=True)
    for inlay, policy in ((built, "Never"), (ready, None)):
        container = made(inlay=inlay)["Deployment/web"]["spec"]["template"]["spec"]["containers"][0]
        assert (container["image"], container.get("imagePullPolicy")) == (inlay.image, policy)


@pytest.mark.parametrize("spec", ["text", ["a"], {"template": "text"}, {"template": {"spec": ["a"]}}, None])
@pytest.mark.parametrize("kind", ["Prompt", "Deployment"])
def test_what_has_no_pods_is_left_as_it_is(kind, spec):
    assert pod_template({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}) is None


def test_pods_without_containers_are_the_clusters_affair():
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeName": "n"}}
    assert made(bare)["Pod/a"]["spec"]["nodeName"] == "n"
