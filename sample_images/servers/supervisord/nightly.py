# What goes over the day's questions, once a day.
import time

from llama_index.llms.openai import OpenAI

llm = OpenAI(model="gpt-4o-mini")

while True:
    time.sleep(24 * 60 * 60)
    llm.complete("Summarize the day.")
