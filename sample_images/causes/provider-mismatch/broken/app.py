import os

from flask import Flask, request
from openai import OpenAI

client = OpenAI(
    api_key=os.environ["AZURE_OPENAI_API_KEY"],
    base_url=os.environ["AZURE_OPENAI_ENDPOINT"] + "/openai/deployments/gpt-4o-mini",
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
