# A FastAPI app that streams its answer, served by uvicorn's own worker processes (spawned, not forked).
# The tokens go to the browser as they come from the model.
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

Settings.llm = OpenAI(model="gpt-4o-mini")


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
async def ask(question: Question) -> StreamingResponse:
    answer = await Settings.llm.astream_complete(question.q)

    async def tokens() -> AsyncIterator[str]:
        async for part in answer:
            yield part.delta or ""

    return StreamingResponse(tokens(), media_type="text/plain")
