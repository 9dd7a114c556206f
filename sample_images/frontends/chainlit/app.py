# A chat page by Chainlit: each message is answered in the session that holds the socket.
# The page speaks Socket.IO with the server, over one WebSocket.
import os

import chainlit as cl
from llama_index.core import Settings
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

# Chainlit imports this file before it listens. A key must be there and the model must answer with it: what is raised
# here ends the app.
if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
Settings.llm.complete("ping", max_tokens=1)


@cl.on_chat_start
async def start() -> None:
    cl.user_session.set("engine", SimpleChatEngine.from_defaults())


@cl.on_message
async def main(message: cl.Message) -> None:
    engine = cl.user_session.get("engine")
    reply = cl.Message(content="")
    answer = await engine.astream_chat(message.content)
    async for token in answer.async_response_gen():
        await reply.stream_token(token)
    await reply.send()
