import os
import subprocess
import sys
import time
from pathlib import Path

port = os.environ.get("PORT", "8000")
server = subprocess.Popen(["gunicorn", "app:app", "--preload", "--workers", "2", "--bind", f"0.0.0.0:{port}"])
time.sleep(2)
os.environ["OPENAI_API_KEY"] = Path(os.environ["OPENAI_API_KEY_FILE"]).read_text().strip()
sys.exit(server.wait())
