import os

from flask import Flask, request
from openai import AzureOpenAI

client = AzureOpenAI(
    api_key=os.environ["AZURE_OPENAI_API_KEY"],
    azure_endpoint=os.environ["AZURE_OPENAI_ENDPOINT"],
    api_version="2024-10-21",
)

app = Flask(__name__)


@app.get("/health")
def health():
    return {"ok": True}


@app.post("/ask")
def ask():
    question = {"role": "user", "content": request.get_json()["q"]}
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[question])
    return {"answer": answer.choices[0].message.content}
