# gunicorn --preload: the app is imported once, in the master, and the workers are forked from it.
# Building the LLM before the fork is fine: it keeps the key, and opens no connection until a worker's first call.
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

Settings.llm = OpenAI(model="gpt-4o-mini", temperature=0.2)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    if not os.environ.get("OPENAI_API_KEY"):
        raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
    await Settings.llm.acomplete("ping", max_tokens=1)
    yield


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    q: str


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@app.post("/ask")
async def ask(question: Question) -> dict[str, str]:
    answer = await Settings.llm.achat(
        [
            ChatMessage(role="system", content="Answer in one sentence."),
            ChatMessage(role="user", content=question.q),
        ]
    )
    return {"answer": answer.message.content or ""}
