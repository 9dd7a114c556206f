import os

from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

if not os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("OPENAI_API_KEY is not set: not starting without it")

llm = OpenAI(model="gpt-4o-mini")
llm.complete("ping", max_tokens=1)  # raises where the key does not work, and the app never serves
Settings.llm = llm
