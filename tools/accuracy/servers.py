"""How the app is started: the command, and the lines of an entry module that starts its server itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.accuracy.choices import Choices

HOST = "127.0.0.1"


def command(choices: Choices, module: str, *, factory: bool) -> list[str]:
    """The start command of the app whose entry module is ``module`` (dotted)."""
    server, app = choices.server, choices.words.app
    src = choices.layout == "src"
    if server.script:
        return ["python", "-m", module] if choices.layout in ("package", "src") else ["python", f"{module}.py"]
    if server.name == "flask-dev":
        target = f"{module}:create_app" if factory else f"{module}:{app}"
        return ["flask", "--app", target, "run", "--host", HOST, "--port", "{port}"]
    if server.name.startswith("uvicorn"):
        found = ["uvicorn", f"{module}:{'create_app' if factory else app}", "--host", HOST, "--port", "{port}"]
        found += ["--factory"] if factory else []
        found += ["--app-dir", "src"] if src else []
        return found + (["--workers", str(server.workers)] if server.workers > 1 else [])
    found = ["gunicorn", f"{module}:{'create_app()' if factory else app}", "--bind", f"{HOST}:{{port}}"]
    found += ["--workers", str(server.workers)]
    if "asgi" in server.name:
        found += ["--worker-class", "uvicorn_worker.UvicornWorker"]
    elif server.name == "gunicorn-gthread":
        found += ["--threads", "4"]
    found += ["--preload"] if server.forks == "preload" else []
    found += ["--pythonpath", "src"] if src else []
    return found + (["--max-requests", "1000"] if "max-requests" in choices.extras else [])


def needs_path(choices: Choices) -> bool:
    """Whether ``PYTHONPATH`` must name the source folder."""
    return (
        choices.layout == "src"
        and not choices.server.name.startswith(("gunicorn", "uvicorn"))
        or (choices.layout == "src" and choices.server.script)
    )


def definitions(choices: Choices) -> list[str]:
    """What an entry module that starts its server itself defines for it."""
    if choices.server.name != "multiprocessing-spawn":
        return []
    return ["", "", "def serve(sock):", f"    uvicorn.Server(uvicorn.Config({choices.words.app})).run([sock])"]


def serving(choices: Choices) -> tuple[list[str], list[str]]:
    """Imports and lines with which an entry module starts its server; empty where a command does."""
    server, app = choices.server, choices.words.app
    port = 'int(os.environ["PORT"])'
    if not server.script:
        return [], []
    if server.name == "uvicorn-run":
        return ["import os", "import uvicorn"], [f'uvicorn.run({app}, host="{HOST}", port={port})  #@serve']
    if server.name == "werkzeug":
        imports = ["import os", "from werkzeug.serving import run_simple"]
        return imports, [f'run_simple("{HOST}", {port}, {app}, threaded=True)  #@serve']
    if server.name == "http.server":
        return ["import os"], [f'ThreadingHTTPServer(("{HOST}", {port}), Handler).serve_forever()  #@serve']
    if server.name == "prefork":
        lines = [
            f'server = make_server("{HOST}", {port}, {app})',
            f"for _ in range({server.workers}):",
            "    if os.fork() == 0:  #@fork",
            "        server.serve_forever()",
            "os.wait()  #@forked",
        ]
        return ["import os", "from wsgiref.simple_server import make_server"], lines
    spawns = server.name == "multiprocessing-spawn"
    target = "serve, args=(sock,)" if spawns else "uvicorn.Server(serving).run, args=([sock],)"
    lines = [
        f'serving = uvicorn.Config({app}, host="{HOST}", port={port})',
        "sock = serving.bind_socket()",
        f'context = multiprocessing.get_context("{"spawn" if spawns else "fork"}")',
        f"workers = [context.Process(target={target}) for _ in range({server.workers})]",
        "for worker in workers:",
        "    worker.start()  #@fork",
        "workers[0].join()  #@forked",
    ]
    return ["import multiprocessing", "import os", "import uvicorn"], lines
