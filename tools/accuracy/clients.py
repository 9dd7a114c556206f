"""The client's building and its calls, for each library, as code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.accuracy.choices import Choices

AZURE_HOST = "https://contoso-ai.openai.azure.com"
SETTINGS_IMPORT = "from llama_index.core import Settings"


def imports(choices: Choices) -> tuple[str, ...]:
    """What the client's module imports for the client alone."""
    library = choices.library
    if choices.timing == "module":
        return ("import openai",)
    found = [f"from {library.module} import {library.cls}"]
    if library.family == "llama" and choices.call == "chat":
        found.insert(0, "from llama_index.core.llms import ChatMessage")
    if choices.timing == "settings":
        found.insert(0, SETTINGS_IMPORT)
    if "os." in " ".join(arguments(choices, "")):
        found.insert(0, "import os")
    return tuple(found)


def arguments(choices: Choices, key: str) -> list[str]:
    """The constructor's arguments; ``key`` is the expression of the key, or empty where it is not given."""
    library, words = choices.library, choices.words
    found = []
    if library.family == "llama":
        found.append(f'model="{"text-embedding-3-small" if choices.call == "embed" else words.model}"')
    if library.name == "llama-azure":
        found += ['engine="gpt-4o-mini"', 'azure_endpoint=os.environ["AZURE_OPENAI_ENDPOINT"]']
    if library.azure:
        found.append('api_version="2024-10-21"')
    if key:
        found.append(f"api_key={key}")
    if library.name == "llama-like":
        found += ['api_base=os.environ["OPENAI_BASE_URL"]', "is_chat_model=True"]
    elif "base-argument" in choices.extras and not library.azure and not choices.intercept:
        name = "api_base" if library.family == "llama" else "base_url"
        found.append(f'{name}=os.environ["OPENAI_BASE_URL"]')
    return found


def build(choices: Choices, key: str, cls: str = "") -> str:
    """The expression that builds the client."""
    return f"{cls or choices.library.cls}({', '.join(arguments(choices, key))})"


def generates(choices: Choices) -> bool:
    """Whether the app hands the answer on piece by piece."""
    return choices.call == "stream" and choices.timing not in (
        "thread",
        "background",
        "process-pool",
        "context",
        "decorator",
    )


def call(choices: Choices, client: str, question: str) -> list[str]:
    """The lines of a function's body that ask ``client`` and return (or yield) the answer."""
    wait = "await " if choices.library.is_async else ""
    if choices.library.family == "llama":
        return _llama_call(choices, client, question, wait)
    model = choices.words.model
    messages = f'[{{"role": "user", "content": {question}}}]'
    if choices.call == "responses":
        return [
            f'reply = {wait}{client}.responses.create(model="{model}", input={question})  #@call',
            "return reply.output_text",
        ]
    if choices.call == "embedding":
        return [
            f'reply = {wait}{client}.embeddings.create(model="text-embedding-3-small", input=[{question}])  #@call',
            "return str(len(reply.data[0].embedding))",
        ]
    if choices.call == "stream":
        lines = [
            f"parts = {wait}{client}.chat.completions.create(  #@call",
            f'    model="{model}", messages={messages}, stream=True',
            ")",
        ]
        each = "async for part in parts" if choices.library.is_async else "for part in parts"
        if generates(choices):
            return [*lines, f"{each}:", "    if part.choices:", '        yield part.choices[0].delta.content or ""']
        return [
            *lines,
            f'return "".join([p.choices[0].delta.content or "" {each.replace("part ", "p ")} if p.choices])',
        ]
    lines = [f'reply = {wait}{client}.chat.completions.create(model="{model}", messages={messages})  #@call']
    return [*lines, 'return reply.choices[0].message.content or ""']


def _llama_call(choices: Choices, client: str, question: str, wait: str) -> list[str]:
    a = "a" if choices.library.is_async else ""
    if choices.call == "embed":
        return [f"return str(len({client}.get_text_embedding({question})))  #@call"]
    if choices.call == "chat":
        message = f'ChatMessage(role="user", content={question})'
        return [f"reply = {wait}{client}.{a}chat([{message}])  #@call", 'return reply.message.content or ""']
    if choices.call == "stream":
        if generates(choices):
            return [f"for part in {client}.stream_complete({question}):  #@call", '    yield part.delta or ""']
        return [f'return "".join([part.delta or "" for part in {client}.stream_complete({question})])  #@call']
    return [f"return ({wait}{client}.{a}complete({question})).text  #@call"]
