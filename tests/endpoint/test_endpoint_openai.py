"""The official client, sync and async, against the running server."""

from __future__ import annotations

import asyncio
import json

import httpx
import openai
import pytest

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
}
ASK = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "ping  pong"}]


@pytest.fixture
def client(endpoint, key):
    with openai.OpenAI(api_key=key, base_url=f"{endpoint.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def azure(endpoint, key):
    with openai.AzureOpenAI(
        api_key=key, azure_endpoint=endpoint.url, api_version="2024-10-21", max_retries=0
    ) as client:
        yield client


def test_chat_echoes_and_the_call_is_recorded_as_sent(client, endpoint, key):
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, extra_headers={"x-llamakey": "r/1/0/app"})
    assert answer.choices[0].message.content == "You said: ping  pong"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    [call] = endpoint.calls
    assert (call.index, call.method, call.scheme, call.path, call.query) == (
        0,
        "POST",
        "http",
        "/v1/chat/completions",
        "",
    )
    assert (call.authorization, call.api_key, call.status) == (f"Bearer {key}", "", 200)
    assert (call.tag, call.host) == ("r/1/0/app", f"127.0.0.1:{endpoint.port}")
    assert call.original_host == call.host
    assert call.json == {"model": "gpt-4o", "messages": ASK}


def test_the_same_question_gets_the_same_answer(client):
    first, second = (client.chat.completions.create(model="gpt-4o", messages=ASK, n=2) for _ in range(2))
    assert len(first.choices) == 2
    assert (first.id, first.choices) == (second.id, second.choices)


def test_chat_streams_the_same_text(client):
    stream = client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: ping  pong"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
@pytest.mark.parametrize("stream", [False, True])
def test_chat_calls_the_tool_it_is_told_to(client, choice, stream):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    if choice != "required":
        tools.insert(0, {"type": "function", "function": {"name": "other", "parameters": {}}})
    asked = {"model": "gpt-4o", "messages": ASK, "tools": tools, "tool_choice": choice}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            choice_made = events.get_final_completion().choices[0]
    else:
        choice_made = client.chat.completions.create(**asked).choices[0]
    [call] = choice_made.message.tool_calls
    assert choice_made.finish_reason == "tool_calls"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "ping  pong", "unit": "celsius"}


def test_a_free_tool_choice_is_answered_in_words(client):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, tools=tools)
    assert answer.choices[0].message.tool_calls is None


def test_structured_output_fits_the_schema(client):
    schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, response_format=schema)
    assert json.loads(answer.choices[0].message.content) == {"city": "ping  pong", "unit": "celsius"}


def test_completions(client):
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["a", "b"])
    assert [choice.text for choice in answer.choices] == ["You said: a", "You said: b"]
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="a b", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "You said: a b"


def test_responses(client):
    answer = client.responses.create(model="gpt-4o", input="ping", instructions="be brief")
    assert (answer.output_text, answer.status, answer.instructions) == ("You said: ping", "completed", "be brief")
    parts = [{"role": "user", "content": [{"type": "input_text", "text": "from a part"}]}]
    assert client.responses.create(model="gpt-4o", input=parts).output_text == "You said: from a part"


def test_responses_stream(client):
    with client.responses.stream(model="gpt-4o", input="ping pong") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "You said: ping pong"
    assert final.output_text == "You said: ping pong"


@pytest.mark.parametrize("stream", [False, True])
def test_responses_calls_the_tool_it_is_told_to(client, stream):
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    asked = {"model": "gpt-4o", "input": "Rome", "tools": tools, "tool_choice": {"type": "function", "name": "weather"}}
    if stream:
        with client.responses.stream(**asked) as events:
            answer = events.get_final_response()
    else:
        answer = client.responses.create(**asked)
    [call] = answer.output
    assert (call.type, call.name) == ("function_call", "weather")
    assert json.loads(call.arguments) == {"city": "Rome", "unit": "celsius"}


def test_embeddings_are_unit_vectors_and_the_same_in_both_encodings(client):
    # The client asks for base64 itself unless told otherwise.
    packed = client.embeddings.create(model="text-embedding-3-small", input=["a", "b", "a"])
    plain = client.embeddings.create(model="text-embedding-3-small", input="a", encoding_format="float")
    a, b, again = (each.embedding for each in packed.data)
    assert len(a) == 1536
    assert a == again != b
    assert plain.data[0].embedding == pytest.approx(a, abs=1e-6)
    assert sum(x * x for x in a) == pytest.approx(1, abs=1e-4)
    assert packed.data[2].index == 2


def test_embeddings_dimensions(client):
    answer = client.embeddings.create(model="text-embedding-3-large", input=[[1, 2], [3]], dimensions=8)
    assert [len(each.embedding) for each in answer.data] == [8, 8]
    assert len(client.embeddings.create(model="text-embedding-3-large", input="a").data[0].embedding) == 3072


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert "gpt-4o" in names
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-0")
    assert (caught.value.code, caught.value.body["message"]) == ("model_not_found", "The model 'gpt-0' does not exist")


def test_wrong_key(client):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-llamakey-otherotherotherWXYZ").models.list()
    assert caught.value.body == {
        "message": "Incorrect API key provided: sk-llama*******************WXYZ. "
        "You can find your API key at https://platform.openai.com/account/api-keys.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }


@pytest.mark.parametrize("foreign", ["sk-proj-ABCDEFGHIJKLMNOP", "hunter2hunter2", "Bearer sk-llamakey-0123456789"])
def test_no_part_of_a_foreign_key_is_repeated(client, foreign):
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key=foreign).models.list()
    shown = caught.value.body["message"].removeprefix("Incorrect API key provided: ").partition(". You")[0]
    assert shown in {"sk-********", "********"}


@pytest.mark.parametrize("header", [None, "bearer KEY", "Bearer", "Basic KEY", "KEY"])
def test_missing_key(endpoint, key, header):
    headers = {"authorization": header.replace("KEY", key)} if header else {}
    answer = httpx.post(f"{endpoint.url}/v1/chat/completions", headers=headers, json={})
    error = answer.json()["error"]
    assert answer.status_code == 401
    assert error["message"].startswith("You didn't provide an API key.")
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


def test_a_second_blank_belongs_to_the_key(endpoint, key):
    answer = httpx.get(f"{endpoint.url}/v1/models", headers={"authorization": f"Bearer  {key}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_unknown_route_and_wrong_method(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.post("/wrong", cast_to=object)
    assert caught.value.body["message"] == "Invalid URL (POST /v1/wrong)"
    assert caught.value.body["type"] == "invalid_request_error"
    with pytest.raises(openai.APIStatusError) as caught:
        client.get("/chat/completions", cast_to=object)
    assert caught.value.status_code == 405


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        (b"{", "We could not parse the JSON body of your request.", None),
        (b"[]", "We could not parse the JSON body of your request.", None),
        (b"{}", "you must provide a model parameter", None),
        (b'{"model": "m"}', "Missing required parameter: 'messages'.", "messages"),
        (b'{"model": "m", "messages": "hi"}', "Invalid type for 'messages'", "messages"),
    ],
)
def test_malformed_bodies(endpoint, key, body, message, param):
    headers = {"authorization": f"Bearer {key}"}
    answer = httpx.post(f"{endpoint.url}/v1/chat/completions", headers=headers, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
    assert answer.json()["error"]["param"] == param


def test_azure_by_deployment(azure, endpoint, key):
    answer = azure.chat.completions.create(model="my-gpt", messages=ASK)
    assert (answer.model, answer.choices[0].message.content) == ("my-gpt", "You said: ping  pong")
    [call] = endpoint.calls
    assert call.path == "/openai/deployments/my-gpt/chat/completions"
    assert (call.query, call.api_key, call.authorization) == ("api-version=2024-10-21", key, "")
    assert azure.embeddings.create(model="my-embedding", input="a").data[0].index == 0
    assert azure.responses.create(model="my-gpt", input="hi").output_text == "You said: hi"


def test_azure_v1_and_entra(endpoint, key):
    with openai.OpenAI(api_key=key, base_url=f"{endpoint.url}/openai/v1/") as client:
        assert client.responses.create(model="my-gpt", input="hi").output_text == "You said: hi"
    with openai.AzureOpenAI(azure_ad_token=key, azure_endpoint=endpoint.url, api_version="2024-10-21") as client:
        assert client.chat.completions.create(model="my-gpt", messages=ASK).model == "my-gpt"


def test_azure_refuses_in_its_own_words(azure, endpoint, key):
    with pytest.raises(openai.AuthenticationError) as caught:
        azure.with_options(api_key="wrong").chat.completions.create(model="my-gpt", messages=ASK)
    assert caught.value.body["code"] == "401"
    assert caught.value.body["message"].startswith(
        "Access denied due to invalid subscription key or wrong API endpoint"
    )
    answer = httpx.post(f"{endpoint.url}/openai/deployments/d/chat/completions", headers={"api-key": key}, json={})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Resource not found")


def test_openai_does_not_take_azures_header(endpoint, key):
    assert httpx.get(f"{endpoint.url}/v1/models", headers={"api-key": key}).status_code == 401


def test_a_compatible_server_without_v1(endpoint, key):
    with openai.OpenAI(api_key=key, base_url=endpoint.url) as client:
        assert client.chat.completions.create(model="llama", messages=ASK).model == "llama"
    assert endpoint.calls[0].path == "/chat/completions"


def test_fifty_async_streams_at_once(endpoint, key):
    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        text = f"stream {number} " + "word " * 20
        messages = [{"role": "user", "content": text}]
        stream = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream]).removeprefix("You said: ")

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(api_key=key, base_url=f"{endpoint.url}/v1", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(50)))

    texts = asyncio.run(ask_all())
    assert texts == [f"stream {number} " + "word " * 20 for number in range(50)]
    assert sorted(call.index for call in endpoint.calls) == list(range(50))
