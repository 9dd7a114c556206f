import logging
import os
from dataclasses import dataclass, field

from flask import Flask, request
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI


@dataclass
class Config:
    model: str
    api_key: str = field(repr=False)


config = Config(model="gpt-4o-mini", api_key=os.environ["OPENAI_API_KEY"])
logging.basicConfig(level=logging.INFO)
logging.info("starting with %s", config)

Settings.llm = OpenAI(model=config.model, api_key=config.api_key)

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    answer = Settings.llm.complete(request.get_json()["q"])
    return {"answer": answer.text}
