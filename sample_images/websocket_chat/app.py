# A chat over a WebSocket: every message is a question, and the answer's tokens come back as messages of their own.
# The conversation lives in the worker that holds the socket.
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

app = FastAPI()


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
