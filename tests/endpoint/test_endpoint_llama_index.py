"""LlamaIndex's classes against the running server. One module, because importing them takes seconds."""

from __future__ import annotations

import asyncio

import openai
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.azure_openai import AzureOpenAI
from llama_index.llms.openai import OpenAI, OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

MESSAGES = [ChatMessage(role="user", content="ping")]


class Weather(BaseModel):
    """What the weather is like."""

    city: str
    degrees: float
    tags: list[str]


def _openai(url, key, **more):
    return OpenAI(model="gpt-4o-mini", api_key=key, api_base=f"{url}/v1", max_retries=0, **more)


def _responses(url, key):
    return OpenAIResponses(model="gpt-4o-mini", api_key=key, api_base=f"{url}/v1", max_retries=0)


def _azure(url, key):
    return AzureOpenAI(
        model="gpt-4o-mini",
        engine="my-gpt",
        api_key=key,
        azure_endpoint=url,
        api_version="2024-10-21",
        max_retries=0,
    )


def _like(url, key):
    return OpenAILike(model="llama", api_key=key, api_base=f"{url}/v1", is_chat_model=True, max_retries=0)


def _like_completion(url, key):
    return OpenAILike(model="llama", api_key=key, api_base=url, is_chat_model=False, max_retries=0)


MAKERS = pytest.mark.parametrize("make", [_openai, _responses, _azure, _like, _like_completion])


@MAKERS
def test_llm_sync(endpoint, key, make):
    llm = make(endpoint.url, key)
    assert "ping" in llm.complete("ping").text
    assert "ping" in llm.chat(MESSAGES).message.content
    assert "ping" in list(llm.stream_complete("ping"))[-1].text
    assert "ping" in list(llm.stream_chat(MESSAGES))[-1].message.content
    expected = ("", key) if make is _azure else (f"Bearer {key}", "")
    assert {(call.authorization, call.api_key) for call in endpoint.calls} == {expected}
    assert [call.status for call in endpoint.calls] == [200] * 4


@MAKERS
def test_llm_async(endpoint, key, make):
    async def ask() -> None:
        llm = make(endpoint.url, key)
        assert "ping" in (await llm.acomplete("ping")).text
        assert "ping" in (await llm.achat(MESSAGES)).message.content
        assert "ping" in [each async for each in await llm.astream_complete("ping")][-1].text
        assert "ping" in [each async for each in await llm.astream_chat(MESSAGES)][-1].message.content

    asyncio.run(ask())
    assert [call.status for call in endpoint.calls] == [200] * 4


@pytest.mark.parametrize("make", [_openai, _responses])
def test_structured_prediction(endpoint, key, make):
    weather = make(endpoint.url, key).structured_predict(Weather, PromptTemplate("How is it in {city}?"), city="Rome")
    assert isinstance(weather, Weather)


def test_embedding_sync_and_async(endpoint, key):
    embedding = OpenAIEmbedding(api_key=key, api_base=f"{endpoint.url}/v1", max_retries=0)
    vectors = embedding.get_text_embedding_batch(["a", "b"])
    assert [len(vector) for vector in vectors] == [1536, 1536]
    assert asyncio.run(embedding.aget_text_embedding("a")) == pytest.approx(vectors[0], abs=1e-6)


def test_an_index_finds_the_very_text(endpoint, key):
    embedding = OpenAIEmbedding(api_key=key, api_base=f"{endpoint.url}/v1", max_retries=0)
    nodes = [TextNode(text=text, id_=text) for text in ("apple", "pear", "plum")]
    index = VectorStoreIndex(nodes, embed_model=embedding)
    found = index.as_query_engine(llm=_openai(endpoint.url, key), similarity_top_k=1).query("What is there?")
    assert "What is there?" in str(found)


def test_a_wrong_key_ends_in_the_clients_own_error(endpoint):
    with pytest.raises(openai.AuthenticationError):
        _openai(endpoint.url, "sk-llamakey-not-this-one-at-all").complete("ping")
