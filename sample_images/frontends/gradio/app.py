# A chat page by Gradio, as the tutorials have it: one function that answers a message.
# Its HTTP API calls that function too, without a browser.
import os

import gradio as gr
from llama_index.core import Settings
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")


def answer(message: str, history: list[dict[str, str]]) -> str:
    return Settings.llm.chat([ChatMessage(role="user", content=message)]).message.content or ""


demo = gr.ChatInterface(answer, title="Ask the docs")

if __name__ == "__main__":
    # Before it listens, a key must be there and the model must answer with it: what is raised here ends the app.
    if not os.environ.get("OPENAI_API_KEY"):
        raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")
    Settings.llm.complete("ping", max_tokens=1)
    demo.launch()  # host and port by GRADIO_SERVER_NAME and GRADIO_SERVER_PORT
