# The app answers at once and asks the model afterwards, in a FastAPI background task.
# A wrong key would never show in a response here: the call comes after it.
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI
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

summaries: list[str] = []


class Text(BaseModel):
    q: str


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


async def summarise(text: str) -> None:
    answer = await Settings.llm.acomplete(f"Summarise in one sentence: {text}")
    summaries.append(answer.text)


@app.post("/ask", status_code=202)
async def ask(text: Text, tasks: BackgroundTasks) -> dict[str, bool]:
    tasks.add_task(summarise, text.q)
    return {"accepted": True}
