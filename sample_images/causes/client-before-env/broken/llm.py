from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

llm = OpenAI(model="gpt-4o-mini")
Settings.llm = llm
