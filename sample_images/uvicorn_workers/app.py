# A FastAPI app that streams its answer, served by uvicorn's own worker processes (spawned, not forked).
# The tokens go to the browser as they come from the model.
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

Settings.llm = OpenAI(model="gpt-4o-mini")

app = FastAPI()


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
