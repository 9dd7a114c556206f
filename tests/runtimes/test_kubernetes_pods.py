"""What a pod's status shows of troubles."""

from __future__ import annotations

import pytest

from pytest_llamakey.runtimes.base import Exit
from pytest_llamakey.runtimes.kubernetes_pods import Trouble, exit_of, is_final, signs


def waiting(reason: str, message: str = "why") -> dict:
    return {"name": "app", "state": {"waiting": {"reason": reason, "message": message}}}


@pytest.mark.parametrize(
    "reason", ["CreateContainerConfigError", "ImagePullBackOff", "CrashLoopBackOff", "ErrImageNeverPull"]
)
def test_a_container_that_waits_in_vain(reason):
    assert list(signs({"status": {"containerStatuses": [waiting(reason)]}})) == [Trouble(reason, "why")]
    assert list(signs({"status": {"initContainerStatuses": [waiting(reason)]}})) == [Trouble(reason, "why")]


def test_a_pod_without_a_node():
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert list(signs({"status": {"conditions": [condition]}})) == [Trouble("Unschedulable", "0/1 nodes")]


def test_one_that_starts_is_in_no_trouble():
    assert list(signs({"status": {"containerStatuses": [waiting("ContainerCreating")]}})) == []
    assert list(signs({})) == []


def test_how_a_container_ended():
    assert exit_of({"exitCode": 1}) == Exit(1)
    assert exit_of({"exitCode": 137, "reason": "OOMKilled"}) == Exit(-9, out_of_memory=True)


@pytest.mark.parametrize(
    ("policy", "code", "final"),
    [("Never", 1, True), ("OnFailure", 0, True), ("OnFailure", 1, False), ("Always", 0, False)],
)
def test_a_container_that_is_not_started_anew(policy, code, final):
    pod = {"spec": {"restartPolicy": policy}}
    assert is_final(pod, {"exitCode": code}) == final
    assert not is_final(pod, None)
