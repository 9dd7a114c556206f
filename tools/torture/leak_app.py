"""The app of the leak suite: it has keys wherever people keep them, and tells them in every way that people do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.planted import Planted, azure_key, project_key, service_key

if TYPE_CHECKING:
    from tools.torture.bench import Bench

# What an app may do with a key that it should not have: every line is something people write.
TELLING = """
import base64, logging, traceback
CODE, HEXED = "{code}", "{hexed}"
logging.basicConfig(level=logging.DEBUG)
logging.info("using key %s", CODE)
logging.info("headers: %r", {{"Authorization": "Bearer " + CODE, "api-key": HEXED}})
logging.info("azure key is %s", HEXED)
logging.info("AZURE_OPENAI_API_KEY=" + HEXED)
logging.info('msg="using AZURE_OPENAI_API_KEY=%s"', HEXED)
print("AZURE_OPENAI_API_KEY=" + HEXED, flush=True)
print(json.dumps({{"message": "client built with api_key=" + HEXED}}), flush=True)
print(json.dumps({{"api_key": HEXED, "openai": {{"key": CODE}}}}), flush=True)
print("https://x.openai.azure.com/openai?api-key=" + HEXED, flush=True)
print("Authorization: Bearer " + HEXED, flush=True)
try:
    raise RuntimeError("no access with key " + CODE)
except RuntimeError:
    traceback.print_exc()

def asked():
    status, body = call(CODE, BASE)
    return 502, body + b" key: " + CODE.encode() + b' "api_key": "' + HEXED.encode() + b'"'
"""

SYSTEMD = (
    "RUN apt-get -q update && apt-get -q install -y --no-install-recommends systemd && rm -rf /var/lib/apt/lists/*\n"
)
"""Lines of a Dockerfile that give an image its systemd."""


def plant(place: Bench, more: str = "", dockerfile: str = "", **fields: object) -> Planted:
    """An app with keys in its code, in a .env and in the tester's environment."""
    outside = {
        "OPENAI_API_KEY": project_key(),
        "AZURE_OPENAI_API_KEY": azure_key(),
        "OPENAI_ADMIN_KEY": service_key(),
        "ANTHROPIC_API_KEY": f"sk-ant-api03-{project_key()[8:]}",
        "MY_OWN_WORDS": service_key(),
    }
    place.environment |= outside
    written = {"dotenv OPENAI_API_KEY": project_key(), "dotenv AZURE_OPENAI_API_KEY": azure_key()}
    planted = Planted(outside | written, {"code": project_key(), "hexed": azure_key(), "args": service_key()})
    inside = planted.inside
    lines = [f"{name.split()[1]}={key}" for name, key in written.items()]
    setup = TELLING.format(code=inside["code"], hexed=inside["hexed"]) + more
    place.write(
        {
            "server.py": server(setup),
            "llamakey.toml": table(env={"LOG_TOKEN": inside["args"]}, **fields),
            ".env": "\n".join([*lines, "DEBUG=1\n"]),
            "Dockerfile": DOCKERFILE.replace("server.py", "server.py .env") + dockerfile,
        }
    )
    return planted
