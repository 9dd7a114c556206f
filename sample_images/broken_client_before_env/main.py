# The classic mistake: llm.py builds its client while it is imported, and load_dotenv() comes one line too late.
# The key is in the environment for all to see, yet the client was built without it. (Right: ../dotenv_first)
from dotenv import load_dotenv
from fastapi import FastAPI
from pydantic import BaseModel

from llm import llm

load_dotenv()

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
