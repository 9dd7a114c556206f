import multiprocessing
import os
import signal

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

loaded = multiprocessing.Value("b", False)


def load_index():
    if not loaded.value:
        loaded.value = True
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when the index is larger than the memory


app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    load_index()
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
