"""The fixtures, as a test of a user's uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.tiny_app import server, table

if TYPE_CHECKING:
    import pytest

    from conftest import Bench


def test_a_deployment_is_started_driven_and_stopped(bench: Bench) -> None:
    bench.app()
    bench.pytester.makepyfile(
        """
        def test_every_worker_authenticates(llamakey_deploy, llamakey_key):
            app = llamakey_deploy("shop", workers=2)
            app.request_each_worker()
            assert len(app.workers) == 2
            for worker in app.workers:
                assert worker.key == llamakey_key
                assert worker.role == "worker"
            assert [call.authorization for call in app.calls] == [f"Bearer {llamakey_key}"] * 2
            assert "starting" in app.logs()
            assert app.findings == ()
            app.assert_parity()
        """
    )
    bench.run("test_a_deployment_is_started_driven_and_stopped.py").assert_outcomes(passed=1)
    assert bench.left_over == []


def test_plain_processes_instead_of_containers_are_told_in_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    bench.app(files={"Dockerfile": "FROM scratch\nEXPOSE 8000\n"})
    bench.pytester.makepyfile("def test_it(llamakey_deploy):\n    assert llamakey_deploy('shop').workers\n")
    result = bench.run("-k", "test_it")
    result.assert_outcomes(passed=1, warnings=1, deselected=5)
    result.stdout.fnmatch_lines("*test_plain_*.py:2: LlamakeyWarning: *runs as plain processes*nonexistent.sock*")


def test_plain_processes_are_told_once_however_often_they_are_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    bench.app(files={"Dockerfile": "FROM scratch\nEXPOSE 8000\n"})
    bench.pytester.makepyfile(
        """
        def test_one(llamakey_deploy):
            llamakey_deploy("shop")
            llamakey_deploy("shop")

        def test_two(llamakey_deploy):
            llamakey_deploy("shop")
        """
    )
    bench.run("-k", "test_one or test_two").assert_outcomes(passed=2, warnings=1, deselected=5)


def test_by_id_with_other_fields_and_findings(bench: Bench) -> None:
    bench.app(text=table(name="api"))
    bench.pytester.makepyfile(
        """
        import pytest

        def test_no_key(llamakey_deploy):
            app = llamakey_deploy("shop/llamakey.toml::api", key="none")
            app.request_each_worker()
            assert [finding.cause for finding in app.findings] == ["key-missing"]
            assert {worker.key for worker in app.workers} == {None}
            with pytest.raises(AssertionError, match="keyed: Not every worker holds this run"):
                app.assert_parity()

        def test_wrong_field(llamakey_deploy):
            with pytest.raises(Exception, match="workers"):
                llamakey_deploy("shop", worker=2)
        """
    )
    bench.run("-k", "test_").assert_outcomes(passed=2)
    assert bench.left_over == []


def test_all_workers_are_there_at_the_first_look(bench: Bench) -> None:
    bench.app(files={"server.py": server("os.register_at_fork(before=lambda: time.sleep(1))")}, text=table(workers=3))
    bench.pytester.makepyfile(
        """
        def test_count(llamakey_deploy, llamakey_key):
            assert [worker.key for worker in llamakey_deploy("shop").workers] == [llamakey_key] * 3
        """
    )
    bench.run("-k", "test_count").assert_outcomes(passed=1)


LATE = """
if _ == 1:
    import subprocess
    own = ["perl", "-e", "sleep 2; exec @ARGV", sys.executable, "-c", "import time; time.sleep(60)"]
    sys.exit(subprocess.call(own, pass_fds=[server.fileno()]))
"""


def test_a_worker_that_says_who_it_is_a_moment_late_is_waited_for(bench: Bench) -> None:
    bench.app(files={"server.py": server(worker=LATE)})
    bench.pytester.makepyfile("def test_parity(llamakey_deploy):\n    llamakey_deploy('shop').assert_parity()\n")
    bench.run("-k", "test_parity and not shop").assert_outcomes(passed=1)


def test_so_it_is_where_no_request_is_sent(bench: Bench) -> None:
    bench.app(text=table(request=None), files={"server.py": server(worker=LATE)})
    bench.run("shop", "-k", "keyed or parity").assert_outcomes(passed=2)


def test_workers_are_asked_for_their_state_at_each_look(bench: Bench) -> None:
    bench.app(files={"server.py": server(worker="import httpx")})
    bench.pytester.makepyfile(
        """
        def test_versions(llamakey_deploy):
            app = llamakey_deploy("shop")
            assert len(app.workers) == 2
            assert all("httpx" in worker.versions for _replica, worker in app.facts().workers)
        """
    )
    bench.run("-k", "test_versions").assert_outcomes(passed=1)


def test_a_worker_that_never_says_who_it_is_is_told(bench: Bench) -> None:
    silent = LATE.replace("sleep 2", "sleep 60")
    bench.app(files={"server.py": server(worker=silent)})
    bench.pytester.makepyfile(
        """
        import pytest

        def test_parity(llamakey_deploy):
            app = llamakey_deploy("shop")
            with pytest.raises(AssertionError, match="serves, but no probe answered from inside it"):
                app.assert_parity()
            assert len(app.workers) == 2
        """
    )
    bench.run("-k", "test_parity and not shop").assert_outcomes(passed=1)


def test_further_workers_are_spawned_beside_the_app(bench: Bench) -> None:
    bench.app(text=table(workers=1))
    bench.pytester.makepyfile(
        """
        def test_spawn(llamakey_deploy, llamakey_key):
            app = llamakey_deploy("shop")
            pids = app.spawn(2, ["python", "-c", "import time; time.sleep(60)"])
            assert len(set(pids)) == 2
            assert {worker.key for worker in app.workers if worker.pid in pids} == {llamakey_key}
        """
    )
    bench.run("-k", "test_spawn").assert_outcomes(passed=1)
    assert bench.left_over == []


def test_the_endpoint_takes_the_tests_key_and_further_routes(bench: Bench) -> None:
    bench.pytester.makepyfile(
        """
        import json, urllib.error, urllib.request
        import pytest

        def ask(url, key):
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]}).encode()
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers)) as answer:
                return json.load(answer)

        def test_mock(llamakey_openai, llamakey_key):
            assert llamakey_key.startswith("sk-llamakey-")
            assert ask(llamakey_openai.url, llamakey_key)["object"] == "chat.completion"
            with pytest.raises(urllib.error.HTTPError, match="401"):
                ask(llamakey_openai.url, "sk-wrong")
            assert [call.status for call in llamakey_openai.calls] == [200, 401]

        def test_routes(llamakey_openai, llamakey_key):
            llamakey_openai.router.post(path="/v1/chat/completions").respond(200, json={"mine": True})
            assert ask(llamakey_openai.url, llamakey_key) == {"mine": True}
        """
    )
    bench.run().assert_outcomes(passed=2)
