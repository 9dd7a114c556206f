"""Types a question into the page's chat box, as a browser does: python ask.py http://127.0.0.1:8501 [QUESTION]."""

import sys

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect


def run_script(socket: ClientConnection, **typed: str) -> str:
    """Have the script run once, with what was typed into a chat box of that id; returns the id of the chat box."""
    wanted = BackMsg()
    wanted.rerun_script.SetInParent()
    for box, text in typed.items():
        state = wanted.rerun_script.widget_states.widgets.add(id=box)
        state.chat_input_value.data = text
    socket.send(wanted.SerializeToString())
    box = ""
    while True:
        told = ForwardMsg.FromString(socket.recv(timeout=60))
        element = told.delta.new_element
        if element.HasField("exception"):
            sys.exit(f"{element.exception.type}: {element.exception.message}")
        box = element.chat_input.id or box
        if told.WhichOneof("type") == "script_finished":
            return box


url = sys.argv[1].replace("http", "ws", 1) + "/_stcore/stream"
with connect(url, subprotocols=["streamlit"], max_size=None, proxy=None) as page:
    box = run_script(page)
    run_script(page, **{box: (sys.argv[2:] or ["ping"])[0]})
