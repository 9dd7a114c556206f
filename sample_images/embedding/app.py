# Retrieval: the index is built, and its documents embedded, while the app starts (FastAPI's lifespan handler).
# A question then costs two calls: one embedding of the question, one completion.
# Embedding at start is the start-up check, too: without a key that works no index is built, and nothing is served.
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

Settings.llm = OpenAI(model="gpt-4o-mini")
Settings.embed_model = OpenAIEmbedding(model="text-embedding-3-small")

DOCUMENTS = [
    Document(text="Alpacas are kept for their fleece, which is softer than that of sheep."),
    Document(text="Llamas carry loads of up to a third of their weight over mountain paths."),
]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    if not os.environ.get("OPENAI_API_KEY"):
        raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
    app.state.engine = VectorStoreIndex.from_documents(DOCUMENTS).as_query_engine()
    yield


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    q: str


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@app.post("/ask")
async def ask(question: Question) -> dict[str, str]:
    answer = await app.state.engine.aquery(question.q)
    return {"answer": str(answer)}
