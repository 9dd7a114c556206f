"""The tiny app, which notes that it was started, and what it was given."""

from __future__ import annotations

from tools import tiny_app

NOTES = """\
if os.environ.get("BOOTS"):
    with open(os.environ["BOOTS"], "a") as file:
        file.write(os.environ.get("NAME", "") + "\\n")
if os.environ.get("SEEN"):
    with open(os.environ["SEEN"], "w") as file:
        json.dump({"environ": dict(os.environ), "files": {n: open(n).read() for n in os.listdir(".")}}, file)
"""


def server(at_start: str = "") -> str:
    """The server's source, with these lines before it listens."""
    return tiny_app.server(NOTES + at_start)
