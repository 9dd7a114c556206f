# A FastAPI app served by hypercorn with two workers, which it spawns: each imports the app for itself.
# Before a worker serves, a key must be there and the model must answer with it: what is raised here ends hypercorn.
import os
from contextlib import asynccontextmanager

from fastapi import FastAPI
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

Settings.llm = OpenAI(model="gpt-4o-mini")


@asynccontextmanager
async def lifespan(app: FastAPI):
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
    answer = await Settings.llm.acomplete(question.q)
    return {"answer": answer.text}
