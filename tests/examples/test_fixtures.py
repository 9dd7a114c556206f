"""What the fixtures give, one use each; run with ``--llamakey``."""

import httpx


def test_the_mock_answers_as_a_test_tells_it(llamakey_deploy, llamakey_openai):
    app = llamakey_deploy("sample_images/flask_sync")  # it has made its start-up call
    llamakey_openai.router.post(path="/v1/chat/completions").mock(
        return_value=httpx.Response(400, json={"error": {"message": "the model is tired", "type": "server_error"}})
    )
    app.request_each_worker()
    assert [call.status for call in app.calls] == [400, 400]
    assert any("the model is tired" in error for worker in app.workers for error in worker.errors)


def test_further_workers_hold_the_same_key(llamakey_deploy, llamakey_key):
    app = llamakey_deploy("sample_images/flask_sync")
    pids = app.spawn(2, ["python", "-c", "import time; time.sleep(30)"])
    spawned = [worker for worker in app.workers if worker.pid in pids]
    assert [worker.key for worker in spawned] == [llamakey_key] * 2
    app.request_each_worker()
    app.assert_parity()
    assert app.findings == ()
    assert llamakey_key not in app.logs()


def test_a_broken_deployment_names_its_cause(llamakey_deploy):
    app = llamakey_deploy("sample_images/broken_client_before_env")
    app.request_each_worker()
    (finding,) = app.findings
    assert finding.cause == "client-before-env"
    assert [str(place) for place in finding.where] == ["llm.py:4", "main.py:9"]


def test_an_index_embeds_the_question_first(llamakey_deploy, llamakey_key):
    app = llamakey_deploy("sample_images/embedding")
    app.request_each_worker()
    for worker in app.workers:
        assert {call.authorization for call in worker.calls} == {f"Bearer {llamakey_key}"}
        assert {call.path for call in worker.calls} >= {"/v1/embeddings", "/v1/chat/completions"}


def test_a_rate_limit_is_waited_out(llamakey_deploy, llamakey_openai):
    limit = httpx.Response(429, json={"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})
    answer = {"role": "assistant", "content": "pong"}
    choice = {"index": 0, "finish_reason": "stop", "message": answer}
    well = httpx.Response(
        200, json={"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
    )
    answers = iter([limit, well, well])
    app = llamakey_deploy("sample_images/flask_sync")  # it has made its start-up call
    llamakey_openai.router["chat"].mock(side_effect=lambda request: next(answers))
    app.request_each_worker()
    assert [call.status for call in app.calls] == [429, 200, 200]
