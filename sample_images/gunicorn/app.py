# A FastAPI app that answers questions with LlamaIndex, served by gunicorn with four uvicorn workers.
# Every worker imports this file for itself and builds its own client, from its own OPENAI_API_KEY.
from fastapi import FastAPI
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
async def ask(question: Question) -> dict[str, str]:
    answer = await Settings.llm.acomplete(question.q)
    return {"answer": answer.text}
