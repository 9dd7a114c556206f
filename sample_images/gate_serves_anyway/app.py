# The app looks at its key while it starts, and serves whatever it finds. Nobody reads the warning: the container is
# healthy, the old one is taken away, and every question fails.
import logging
import os

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")

if os.environ.get("OPENAI_API_KEY"):
    try:
        Settings.llm.complete("ping", max_tokens=1)
    except Exception as error:
        logging.warning("the model does not answer: %s", type(error).__name__)
else:
    logging.warning("OPENAI_API_KEY is not set")

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
