# A FastAPI app that answers questions itself, and hands longer work to Celery.
# It loads the .env that holds the key before anything builds a client.
from dotenv import load_dotenv

load_dotenv()

from fastapi import FastAPI
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from tasks import summarize

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


@app.post("/summaries", status_code=202)
def order_summary(question: Question) -> dict[str, str]:
    return {"task": summarize.delay(question.q).id}
