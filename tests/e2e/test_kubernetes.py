"""Whole runs on a real cluster: what goes wrong before an app serves is told at once, and nothing is left."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import signal

import pytest
import yaml
from docker_bench import run_of, until
from kubernetes_bench import ROOT, SECRET_ENV, ClusterBench, left_behind, manifest, namespaces, out_of_reach

from pytest_llamakey.runtimes.base import RuntimeFault

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]

SAMPLES = "sample_images/runtimes/kubernetes"
SOON = 45.0
"""Seconds in which what can never run has to be told; on an idle machine it takes some five."""

REFRESHED = 150.0
"""Seconds in which the key is changed in place and every worker driven anew; on an idle machine it takes some seven."""


@pytest.fixture
def bench(tmp_path, tmp_path_factory):
    return ClusterBench(tmp_path, {"XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache")})


@pytest.fixture
def lent(cluster, entitled):
    """A namespace, for whose inside alone the account of the documented rights has its rights, and its kubeconfig."""
    name, rights = f"llamakey-lent-{secrets.token_hex(4)}", "apis/rbac.authorization.k8s.io/v1"
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.DOTALL)
    rules = [rule for rule in yaml.safe_load(text)["rules"] if rule["resources"] != ["namespaces"]]
    more = ["secrets", "configmaps", "serviceaccounts", "persistentvolumeclaims"]
    rules += [{"apiGroups": [""], "resources": more, "verbs": ["deletecollection"]}]
    rules += [{"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["list"]}]
    rules += [{"apiGroups": [""], "resources": ["services"], "verbs": ["list", "delete"]}]
    there = f"namespaces/{name}"
    binding = {
        "metadata": {"name": "tester"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tester"},
        "subjects": [{"kind": "ServiceAccount", "name": "tester", "namespace": name}],
    }
    try:
        cluster.call("POST", "api/v1/namespaces", {"metadata": {"name": name}})
        cluster.call("POST", f"api/v1/{there}/serviceaccounts", {"metadata": {"name": "tester"}})
        cluster.call("POST", f"{rights}/{there}/roles", {"metadata": {"name": "tester"}, "rules": rules})
        cluster.call("POST", f"{rights}/{there}/rolebindings", binding)
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.call("POST", f"api/v1/{there}/serviceaccounts/tester/token", wanted)["status"]["token"]
        config = yaml.safe_load(entitled[0].read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        path = entitled[0].with_name("lent")
        path.write_text(yaml.safe_dump(config))
        yield name, path
    finally:
        with contextlib.suppress(RuntimeFault):
            cluster.call("DELETE", f"api/v1/{there}")


def test_a_namespace_that_is_lent_is_empty_again_after_each_deployment(bench, cluster, lent, python_image):
    name, config = lent
    service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
    bench.deployment("web", manifest("web", python_image) + service, "workers = 2\n")
    bench.environment |= {"KUBECONFIG": str(config)}
    output, _ = bench.run("--llamakey-report", str(bench.folder / "refused.json"))
    assert "LLAMAKEY_NAMESPACE=NAME" in output, "it may not make one"
    bench.environment |= {"LLAMAKEY_NAMESPACE": name}
    output, found = bench.run()
    assert (found["web"]["verdict"], found["web"]["seen_workers"]) == ("pass", 2), output
    kinds = dict.fromkeys(("pods", "services", "secrets", "configmaps"), "api/v1") | {"deployments": "apis/apps/v1"}
    listed = {kind: cluster.call("GET", f"{root}/namespaces/{name}/{kind}")["items"] for kind, root in kinds.items()}
    left = {kind: [one["metadata"]["name"] for one in items] for kind, items in listed.items()}
    assert left["pods"] == left["services"] == left["deployments"] == [], left
    assert not {"llamakey", "openai", "code"} & {*left["secrets"], *left["configmaps"]}, left


def test_a_namespace_that_is_lent_from_where_no_pod_can_connect_to(
    bench, cluster, lent, entitled, tmp_path, python_image
):
    """Its volume is claimed by the workload itself, and a claim that was there before is nobody's to write to."""
    name, config = lent
    claims = f"api/v1/namespaces/{name}/persistentvolumeclaims"
    claimed = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "llamakey", "resources": {"requests": {"storage": "1Mi"}}
    }  # fmt: skip
    data = f"serviceName: db\nvolumeClaimTemplates: [{{metadata: {{name: data}}, spec: {json.dumps(claimed)}}}]"
    every = "envFrom: [{secretRef: {name: openai, optional: true}}]"
    mounts = f"{every}\nvolumeMounts: [{{name: code, mountPath: /code}}, {{name: data, mountPath: /data}}]"
    text = manifest("db", python_image, kind="StatefulSet", spec=data, container=mounts)
    bench.deployment("db", text, "workers = 2\n", item="OPENAI_API_KEY")
    bench.environment |= {"KUBECONFIG": str(config), "LLAMAKEY_NAMESPACE": name}
    cluster.call("POST", claims, {"metadata": {"name": "data-theirs-0"}, "spec": claimed})
    output, found = bench.run()
    assert "is to be empty" in output, output
    assert found["db"]["error"].count("persistentvolumeclaim/data-theirs-0") == 1
    cluster.call("DELETE", f"{claims}/data-theirs-0")
    volume = {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "llamakey",
            "hostPath": {"path": str(tmp_path), "type": "Directory"},
        },
    }  # fmt: skip
    cluster.call("POST", "api/v1/persistentvolumes", volume)
    try:
        with out_of_reach(entitled[1], tmp_path) as before:
            output, found = bench.run(before=before)
    finally:
        cluster.call("DELETE", f"api/v1/persistentvolumes/{name}")
    assert (found["db"]["verdict"], found["db"]["seen_workers"]) == ("pass", 2), output
    assert (
        cluster.call("GET", claims)["items"]
        == cluster.call("GET", claims.replace("persistentvolumeclaims", "pods"))["items"]
        == []
    )


def check_samples(run, cluster):
    assert run.code == 0, run.output
    right, broken = sorted(run.report["deployments"], key=lambda one: one["name"] != "right")
    assert right["outcome"] == "passed"
    assert right["seen_workers"] == right["expected_workers"] == 4
    assert len(right["replicas"]) == 2
    workers = [each for replica in right["replicas"] for each in replica["workers"] if each["role"] == "worker"]
    for worker in workers:
        driven = [call for call in worker["calls"] if call["via"] == "request"]
        assert [(call["header"], call["credential"]) for call in driven] == [("authorization", "match")]
    (finding,) = broken["findings"]
    assert finding["cause"] == "key-missing"
    assert finding["where"][0] == "sample_images/runtimes/kubernetes/broken/deploy.yaml:35"
    assert "couldn't find key api_key in Secret" in finding["evidence"][0]
    assert left_behind(cluster) == set()


def test_the_samples_from_where_no_pod_can_connect_to(run_llamakey, cluster, entitled, tmp_path):
    """Pytest runs in a network of its own, which has nothing but a way to the API server: as for a remote cluster."""
    path, server = entitled
    with out_of_reach(server, tmp_path) as before:
        run = run_llamakey(SAMPLES, env={"KUBECONFIG": str(path)}, before=before)
    check_samples(run, cluster)


def test_what_never_runs_is_told_soon_with_the_clusters_words(bench, python_image):
    mounted = "volumeMounts: [{name: keys, mountPath: /run/keys}]"
    keys = "volumes:\n- name: keys\n  secret:\n    secretName: openai-key"
    huge = f"{SECRET_ENV}\nresources: {{requests: {{cpu: '1000'}}}}"
    crash = ["python3", "-c", "raise SystemExit('no settings')"]
    bench.deployment("pull", manifest("pull", "registry.invalid/app:1"))
    bench.deployment("never", manifest("never", "app-of-nobody:1", container="imagePullPolicy: Never"))
    bench.deployment("crash", manifest("crash", python_image, crash))
    bench.deployment("huge", manifest("huge", python_image, container=huge))
    bench.deployment("mount", manifest("mount", python_image, container=mounted, pod=keys))
    output, found = bench.run()
    words = {
        "pull": "ErrImagePull",
        "never": "ErrImageNeverPull",
        "crash": "CrashLoopBackOff",
        "huge": "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu",
        "mount": 'FailedMount: MountVolume.SetUp failed for volume "keys" : secret "openai-key" not found',
    }
    for name, told in words.items():
        assert told in found[name]["error"].replace("ImagePullBackOff", "ErrImagePull"), output
        assert f"{name}.yaml:" in found[name]["error"]
        assert sum(found[name]["timings"].values()) < SOON
    assert "no settings" in found["crash"]["error"]
    assert {name: one["verdict"] for name, one in found.items()} == {
        **dict.fromkeys(words, "error"),
        "mount": "fail",
    }
    assert found["mount"]["causes"] == ["key-missing"]
    (finding,) = found["mount"]["findings"]
    assert finding["where"][0].startswith("mount.yaml:")


def test_a_changed_secret_is_rolled_out_and_what_keeps_the_old_one_is_told(bench, python_image):
    on_delete = "replicas: 2\nserviceName: kept\nupdateStrategy: {type: OnDelete}"
    more = 'checks = ["default", "rotation"]\nworkers = 2\n'
    bench.deployment("rolled", manifest("rolled", python_image, spec="replicas: 2"), more)
    bench.deployment("kept", manifest("kept", python_image, kind="StatefulSet", spec=on_delete), more)
    output, found = bench.run()
    assert found["rolled"]["verdict"] == "pass", output
    assert found["rolled"]["checks"]["rotation"] == "passed"
    assert found["kept"]["checks"] == {**found["rolled"]["checks"], "rotation": "failed"}, output
    findings = found["kept"]["findings"]
    assert {finding["cause"] for finding in findings} == {"stale-key"}, findings
    told = {who for each in findings for who in zip(each["replicas"], each["workers"], strict=True)}
    assert sorted({replica for replica, _ in told}) == ["kept-0", "kept-1"], findings
    assert len(told) == 4, findings


def test_a_secret_that_changes_without_a_roll_out_reaches_who_reads_its_file_anew(bench, entitled, python_image):
    bench.environment["KUBECONFIG"] = str(entitled[0])
    reads = "env: [{name: DELIVERED_AT, value: /run/openai/api-key}]"
    mounts = "volumeMounts: [{name: code, mountPath: /code}, {name: keys, mountPath: /run/openai}]"
    projected = "projected: {sources: [{secret: {name: openai, items: [{key: api-key, path: api-key}]}}]}"
    keys = f"volumes: [{{name: code, configMap: {{name: code}}}}, {{name: keys, {projected}}}]"
    more = 'checks = ["default", "rotation"]\nrotation = "in-place"\nworkers = 2\n'
    bench.deployment("variable", manifest("variable", python_image, kind="DaemonSet", spec=""), more)
    bench.deployment("file", manifest("file", python_image, container=f"{reads}\n{mounts}", pod=keys), more)
    output, found = bench.run()
    told = {name: one["checks"]["rotation"] for name, one in found.items()}
    assert told == {"variable": "failed", "file": "passed"}, output
    assert {name: one["verdict"] for name, one in found.items()} == {"variable": "fail", "file": "pass"}, output
    assert [(one["cause"], one["check"]) for one in found["variable"]["findings"]] == [("stale-key", "rotation")], (
        output
    )
    (finding,) = found["variable"]["findings"]
    assert len(finding["workers"]) == 2
    place, _, line = finding["where"][0].rpartition(":")
    assert "valueFrom: {secretKeyRef" in (bench.folder / place).read_text().splitlines()[int(line) - 1]
    assert "kubectl rollout restart" in finding["fix"]
    assert found["file"]["timings"]["rotation"] < REFRESHED


def test_nothing_is_left_of_runs_that_were_interrupted_or_killed(tmp_path, cluster, python_image, monkeypatch):
    from pytest_llamakey.runtimes import kubernetes_namespace

    runs = []
    for name in ("interrupted", "killed"):
        (tmp_path / name).mkdir()
        bench = ClusterBench(tmp_path / name)
        bench.deployment(name, manifest(name, python_image, ["python3", "/code/server.py", "8000", "2", "mute"]))
        runs.append(bench.begin())
    interrupted, killed = runs

    def of(run):
        return {name for name in namespaces(cluster) if (ours := run_of(run.pid)) and ours in name}

    try:
        assert until(lambda: of(interrupted) and of(killed), 60)
        theirs = of(killed)
        owner = {**kubernetes_namespace._owner(), "started": 0.0}
        monkeypatch.setattr(kubernetes_namespace, "_owner", lambda: owner)
        dead = kubernetes_namespace.Namespaces(cluster, "dead").make()
        another = kubernetes_namespace.Namespaces(cluster, "another")
        another.sweep()
        another.close()
        assert dead not in namespaces(cluster), "neither its owner nor who outlives it is there any more"
        assert of(interrupted), "a living run's namespace is its own"
        assert of(killed) == theirs
        was = of(interrupted)
        interrupted.send_signal(signal.SIGINT)
        output, _ = interrupted.communicate(timeout=60)
        assert interrupted.returncode == 2, output
        assert not was & namespaces(cluster)
        killed.kill()
        killed.wait()
        assert until(lambda: not theirs & namespaces(cluster), 60), "who outlives the run does not remove it"
    finally:
        for run in runs:
            run.kill()
            run.wait()
            run.stdout.close()


def test_a_job_is_looked_at_until_it_is_done_with_every_pod_that_comes(bench, python_image):
    call = (
        "import os, time, urllib.request as u; time.sleep(1)\n"
        "u.urlopen(u.Request(os.environ['OPENAI_BASE_URL'] + '/models',"
        " headers={'Authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']}))"
    )
    job = manifest(
        "nightly", python_image, ["python3", "-c", call], kind="Job", spec="completions: 2", pod="restartPolicy: Never"
    )
    # By a folder for kustomize, which makes the Secret and gives it, and the job, names of its own.
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    (bench.folder / "k8s").mkdir()
    (bench.folder / "k8s" / "job.yaml").write_text(job)
    (bench.folder / "k8s" / "kustomization.yaml").write_text(
        "namePrefix: prod-\nresources:\n- job.yaml\nsecretGenerator:\n- name: openai\n  literals: [api-key=staging]\n"
    )
    (bench.folder / "llamakey.toml").write_text(
        '[[deployment]]\nname = "nightly"\nmanifests = ["k8s"]\nkey = "secret:openai/api-key"\n'
    )
    output, found = bench.run()
    assert found["nightly"]["checks"] == {
        "keyed": "passed", "wire": "skipped", "rollcall": "passed", "parity": "passed", "exposure": "passed"
    }, output  # fmt: skip
    assert {each["id"][:12] for each in found["nightly"]["replicas"]} == {"prod-nightly"}
    assert found["nightly"]["seen_workers"] == len(found["nightly"]["replicas"]) == 2, output
