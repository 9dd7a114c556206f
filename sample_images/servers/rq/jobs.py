# What RQ's worker does, in a process that it forks for each job.
from llama_index.core import Settings
from llama_index.llms.openai import OpenAI

Settings.llm = OpenAI(model="gpt-4o-mini")


def answer(question: str) -> str:
    return Settings.llm.complete(question).text
