"""The web layer of each framework, as the code of the app's entry module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.accuracy import clients
from tools.accuracy.source import indented

if TYPE_CHECKING:
    from tools.accuracy.choices import Choices


@dataclass(frozen=True)
class WebCode:
    """The entry module's web layer: its imports, and its lines, which may be those of a function that makes the app."""

    imports: tuple[str, ...]
    lines: tuple[str, ...]
    factory: bool
    post: bool


@dataclass(frozen=True)
class _Parts:
    choices: Choices

    @property
    def given(self) -> str:
        """The expression of the client in a handler, where the web layer has it."""
        words = self.choices.words
        held = f"request.app.state.{words.holder.lstrip('_')}"
        return {
            "factory": words.holder,
            "depends": words.holder,
            "lifespan": held,
            "extension": f'current_app.extensions["{words.holder}"]',
        }.get(self.choices.timing, "")

    def asked(self, question: str) -> str:
        """The call of the answer function."""
        given = f"{self.given}, " if self.given else ""
        return f"{self.choices.words.answer}({given}{question})"

    def blocking(self, question: str) -> str:
        """The whole answer, in a function that is not ``async``."""
        if self.choices.library.is_async:
            whole = f"_collect({self.asked(question)})" if clients.generates(self.choices) else self.asked(question)
            return f"asyncio.run({whole})"
        return self.asked(question)

    @property
    def collector(self) -> tuple[str, ...]:
        """A helper that puts an asynchronous answer together, where it is needed."""
        if self.choices.library.is_async and clients.generates(self.choices):
            return ("", "", "async def _collect(parts):", '    return "".join([part async for part in parts])')
        return ()


def web_code(choices: Choices) -> WebCode:
    """The web layer of these choices."""
    return _FRAMEWORKS[choices.framework](_Parts(choices))


def _posts(choices: Choices) -> bool:
    return len(choices.words.route) % 2 == 0


def _factory(parts: _Parts) -> bool:
    return "create-app" in parts.choices.extras


def _laid_out(parts: _Parts, lines: list[str]) -> tuple[str, ...]:
    if not _factory(parts):
        return tuple(lines)
    while lines and not lines[0]:
        lines = lines[1:]
    return ("", "", "def create_app():", *indented([*lines, "", f"return {parts.choices.words.app}"]))


def _flask(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    post = _posts(choices)
    names = ["Flask", "request"]
    lines = [f"{words.app} = Flask(__name__)  #@app"]
    if choices.timing == "factory":
        lines.append(f"{words.holder} = {words.getter}()  #@instance")
    if choices.timing == "extension":
        names.append("current_app")
        lines.append(f'{words.app}.extensions["{words.holder}"] = {words.getter}()  #@instance')
    lines += ["", "", f'@{words.app}.get("{words.health}")', "def health():", '    return "ok"  #@health']
    value = f'request.get_json()["{words.field}"]' if post else f'request.args["{words.field}"]'
    verb = "post" if post else "get"
    body = [f"{words.field} = {value}  #@handler"]
    if clients.generates(choices) and not choices.library.is_async:
        names.append("Response")
        body.append(f'return Response({parts.asked(words.field)}, mimetype="text/plain")  #@respond')
    else:
        body.append(f'return {{"answer": {parts.blocking(words.field)}}}  #@respond')
    lines += ["", "", f'@{words.app}.{verb}("{words.route}")', "def handle():", *indented(body)]
    imports = [f"from flask import {', '.join(sorted(names))}"]
    if choices.library.is_async:
        imports.insert(0, "import asyncio")
    return WebCode(tuple(imports), (*parts.collector, *_laid_out(parts, lines)), _factory(parts), post)


def _lifespan(parts: _Parts, framework: str) -> list[str]:
    words = parts.choices.words
    body = [f"app.state.{words.holder.lstrip('_')} = {words.getter}()  #@instance", "yield"]
    return ["", "", "@asynccontextmanager", f"async def lifespan(app: {framework}):", *indented(body), "", ""]


def _fastapi(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    post = _posts(choices)
    names, imports, lines = ["FastAPI"], [], []
    before: list[str] = []
    options = ""
    if choices.timing == "lifespan":
        imports.append("from contextlib import asynccontextmanager")
        before, options = _lifespan(parts, "FastAPI"), "lifespan=lifespan"
        names.append("Request")
    if post:
        imports.append("from pydantic import BaseModel")
        before += ["", "", "class Question(BaseModel):", f"    {words.field}: str", "", ""]
    lines.append(f"{words.app} = FastAPI({options})  #@app")
    if choices.timing == "factory":
        lines.append(f"{words.holder} = {words.getter}()  #@instance")
    lines += ["", "", f'@{words.app}.get("{words.health}")', "def health():", '    return "ok"  #@health']
    question = f"body.{words.field}" if post else words.field
    parameters = ["body: Question" if post else f"{words.field}: str"]
    if choices.timing == "lifespan":
        parameters.append("request: Request")
    if choices.timing == "depends":
        names.append("Depends")
        parameters.append(f"{words.holder}=Depends({words.getter})")
    define, wait = ("async def", "await ") if choices.library.is_async else ("def", "")
    if clients.generates(choices):
        imports.append("from fastapi.responses import StreamingResponse")
        answer = f'return StreamingResponse({parts.asked("question")}, media_type="text/plain")  #@respond'
    else:
        answer = f'return {{"answer": {wait}{parts.asked("question")}}}  #@respond'
    body = [f"question = {question}.strip()  #@handler", answer]
    lines += ["", "", f'@{words.app}.{"post" if post else "get"}("{words.route}")']
    lines += [f"{define} handle({', '.join(parameters)}):", *indented(body)]
    imports.insert(0, f"from fastapi import {', '.join(sorted(names))}")
    return WebCode(tuple(imports), (*before, *_laid_out(parts, lines)), _factory(parts), post)


def _starlette(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    post = _posts(choices)
    imports = ["from starlette.applications import Starlette", "from starlette.routing import Route"]
    before: list[str] = []
    options = ""
    if choices.timing == "lifespan":
        imports.append("from contextlib import asynccontextmanager")
        before, options = _lifespan(parts, "Starlette"), ", lifespan=lifespan"
    lines = [f"{words.holder} = {words.getter}()  #@instance"] if choices.timing == "factory" else []
    value = f'(await request.json())["{words.field}"]' if post else f'request.query_params["{words.field}"]'
    body = [f"{words.field} = {value}  #@handler"]
    kinds = {"PlainTextResponse"}
    if clients.generates(choices):
        kinds.add("StreamingResponse")
        body.append(f'return StreamingResponse({parts.asked(words.field)}, media_type="text/plain")  #@respond')
    elif choices.library.is_async:
        body.append(f"return PlainTextResponse(await {parts.asked(words.field)})  #@respond")
    else:
        imports.append("from starlette.concurrency import run_in_threadpool")
        given = f"{parts.given}, " if parts.given else ""
        body.append(
            f"return PlainTextResponse(await run_in_threadpool({words.answer}, {given}{words.field}))  #@respond"
        )
    lines += ["", "", "async def health(request):", '    return PlainTextResponse("ok")  #@health']
    lines += ["", "", "async def handle(request):", *indented(body), "", ""]
    routes = f'Route("{words.health}", health), Route("{words.route}", handle, methods=["{"POST" if post else "GET"}"])'
    lines.append(f"{words.app} = Starlette(routes=[{routes}]{options})  #@app")
    imports.append(f"from starlette.responses import {', '.join(sorted(kinds))}")
    return WebCode(tuple(imports), (*before, *_laid_out(parts, lines)), _factory(parts), post)


def _wsgi(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    lines = [f"{words.holder} = {words.getter}()  #@instance"] if choices.timing == "factory" else []
    body = [
        f'if environ["PATH_INFO"] == "{words.health}":',
        '    start_response("200 OK", [("Content-Type", "text/plain")])',
        '    return [b"ok"]  #@health',
        f'{words.field} = parse_qs(environ["QUERY_STRING"])["{words.field}"][0]  #@handler',
    ]
    ok = 'start_response("200 OK", [("Content-Type", "text/plain")])'
    if clients.generates(choices) and not choices.library.is_async:
        body += [ok, f"return (part.encode() for part in {parts.asked(words.field)})  #@respond"]
    else:
        body += [f"text = {parts.blocking(words.field)}  #@respond", ok, "return [text.encode()]"]
    lines += ["", "", f"def {words.app}(environ, start_response):", *indented(body)]
    imports = ["from urllib.parse import parse_qs"]
    if choices.library.is_async:
        imports.insert(0, "import asyncio")
    return WebCode(tuple(imports), (*parts.collector, *lines), False, False)


def _asgi(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    lines = [f"{words.holder} = {words.getter}()  #@instance"] if choices.timing == "factory" else []
    start = 'await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})'
    body = [
        'if scope["type"] == "lifespan":',
        '    while (await receive())["type"] == "lifespan.startup":',
        '        await send({"type": "lifespan.startup.complete"})',
        '    return await send({"type": "lifespan.shutdown.complete"})',
        f'if scope["path"] == "{words.health}":',
        f"    {start}",
        '    return await send({"type": "http.response.body", "body": b"ok"})  #@health',
        f'{words.field} = parse_qs(scope["query_string"].decode())["{words.field}"][0]  #@handler',
    ]
    whole = parts.asked(words.field)
    if clients.generates(choices):
        each = "async for" if choices.library.is_async else "for"
        body += [start, f"{each} part in {whole}:  #@respond"]
        body.append('    await send({"type": "http.response.body", "body": part.encode(), "more_body": True})')
        body.append('return await send({"type": "http.response.body", "body": b""})')
    else:
        given = f"{parts.given}, " if parts.given else ""
        threaded = f"asyncio.to_thread({words.answer}, {given}{words.field})"
        body.append(f"text = await {whole if choices.library.is_async else threaded}  #@respond")
        body += [start, 'return await send({"type": "http.response.body", "body": text.encode()})']
    lines += ["", "", f"async def {words.app}(scope, receive, send):", *indented(body)]
    return WebCode(("import asyncio", "from urllib.parse import parse_qs"), tuple(lines), False, False)


def _http_server(parts: _Parts) -> WebCode:
    choices, words = parts.choices, parts.choices.words
    lines = [f"{words.holder} = {words.getter}()  #@instance"] if choices.timing == "factory" else []
    if clients.generates(choices) and not choices.library.is_async:
        text = f'"".join({parts.asked(words.field)})'
    else:
        text = parts.blocking(words.field)
    body = [
        "url = urlsplit(self.path)",
        f'if url.path == "{words.health}":',
        '    return self.reply("ok")  #@health',
        f'{words.field} = parse_qs(url.query)["{words.field}"][0]  #@handler',
        f"return self.reply({text})  #@respond",
    ]
    reply = ["body = text.encode()", "self.send_response(200)", 'self.send_header("Content-Length", str(len(body)))']
    reply += ["self.end_headers()", "self.wfile.write(body)"]
    methods = ["def do_GET(self):", *indented(body), "", "def reply(self, text):", *indented(reply)]
    lines += ["", "", "class Handler(BaseHTTPRequestHandler):", *indented(methods)]
    imports = ["from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer"]
    imports.append("from urllib.parse import parse_qs, urlsplit")
    if choices.library.is_async:
        imports.insert(0, "import asyncio")
    return WebCode(tuple(imports), (*parts.collector, *lines), False, False)


_FRAMEWORKS = {
    "flask": _flask,
    "fastapi": _fastapi,
    "starlette": _starlette,
    "wsgi": _wsgi,
    "asgi": _asgi,
    "http.server": _http_server,
}
