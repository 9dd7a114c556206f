def test_every_worker_authenticates(llamakey_deploy, llamakey_key):
    app = llamakey_deploy("sample_images/gunicorn", workers=4)
    app.request_each_worker()
    assert len(app.workers) == 4
    for worker in app.workers:
        assert worker.key == llamakey_key
        assert {call.authorization for call in worker.calls} == {f"Bearer {llamakey_key}"}


def test_every_worker_calls_exactly_once(llamakey_deploy, llamakey_key):
    app = llamakey_deploy("sample_images/gunicorn", workers=4)
    app.request_each_worker()
    assert len(app.workers) == 4
    for worker in app.workers:
        assert [call.authorization for call in worker.calls] == [f"Bearer {llamakey_key}"]
