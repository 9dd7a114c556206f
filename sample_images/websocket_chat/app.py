# A chat over a WebSocket: every message is a question, and the answer's tokens come back as messages of their own.
# The conversation lives in the worker that holds the socket.
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    if not os.environ.get("OPENAI_API_KEY"):
        raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
    await Settings.llm.acomplete("ping", max_tokens=1)
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
def health() -> dict[str, bool]:
    return {"ok": True}


@app.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    history: list[ChatMessage] = []
    try:
        while True:
            history.append(ChatMessage(role="user", content=await socket.receive_text()))
            answer = ""
            async for part in await Settings.llm.astream_chat(history):
                if part.delta:
                    answer += part.delta
                    await socket.send_text(part.delta)
            history.append(ChatMessage(role="assistant", content=answer))
    except WebSocketDisconnect:
        pass
