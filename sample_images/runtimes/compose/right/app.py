# A FastAPI app that answers questions with LlamaIndex, run by Docker Compose under gunicorn with two workers.
# The key comes from the shell (or .env) that `docker compose up` is typed in, by way of compose.yaml.
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
def ask(question: Question) -> dict[str, str]:
    return {"answer": Settings.llm.complete(question.q).text}
