import os
import subprocess
import sys
from pathlib import Path

port = os.environ.get("PORT", "8000")
os.environ["OPENAI_API_KEY"] = Path(os.environ["OPENAI_API_KEY_FILE"]).read_text().strip()
server = subprocess.Popen(["gunicorn", "app:app", "--preload", "--workers", "2", "--bind", f"0.0.0.0:{port}"])
sys.exit(server.wait())
