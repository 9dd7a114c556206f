# Two processes that share one socket; both have the app that was imported before they were forked.
import eventlet

eventlet.monkey_patch()

import os
import subprocess
import sys

sys.modules["trio"] = None  # httpcore takes it where it is installed, and it cannot be imported beside eventlet

from eventlet import wsgi

from app import app

# In a process of its own, so that no worker gets a connection that was opened before it.
subprocess.run([sys.executable, "check.py"], check=True)
listening = eventlet.listen(("0.0.0.0", int(sys.argv[1])), reuse_port=False)
for _ in range(2):
    if os.fork() == 0:
        wsgi.server(listening, app)
os.wait()
