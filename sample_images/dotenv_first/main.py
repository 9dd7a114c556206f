# The key stands in a .env file beside the app. load_dotenv() runs before anything that needs the key is imported,
# so the client that llm.py builds finds it.
from dotenv import load_dotenv

load_dotenv()

from fastapi import FastAPI
from pydantic import BaseModel

from llm import llm

app = FastAPI()


class Question(BaseModel):
    q: str


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@app.post("/ask")
async def ask(question: Question) -> dict[str, str]:
    answer = await llm.acomplete(question.q)
    return {"answer": answer.text}
