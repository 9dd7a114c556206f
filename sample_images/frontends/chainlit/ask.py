"""Types a question into the page, as a browser does: python ask.py http://127.0.0.1:8000 [QUESTION]."""

import asyncio
import sys
import uuid
from datetime import datetime, timezone

from socketio import AsyncSimpleClient
from socketio.exceptions import TimeoutError as NothingMore

LONGEST = 60  # seconds that a task of the app may go without a word


async def until_idle(page: AsyncSimpleClient, *, busy: bool = False) -> None:
    """Read what the app says until it has no task (the chat's start, an answer) at work."""
    while True:
        try:
            event, *_ = await page.receive(timeout=LONGEST if busy else 1)
        except NothingMore:
            if busy:
                raise
            return
        busy = {"task_start": True, "task_end": False}.get(event, busy)


async def ask(url: str, question: str) -> None:
    session = {"clientType": "webapp", "sessionId": str(uuid.uuid4())}
    now = datetime.now(timezone.utc).isoformat()
    message = {"id": str(uuid.uuid4()), "name": "me", "type": "user_message", "output": question, "createdAt": now}
    async with AsyncSimpleClient() as page:
        await page.connect(url, auth=session, socketio_path="ws/socket.io", transports=["websocket"])
        await page.emit("connection_successful")
        await until_idle(page)
        await page.emit("client_message", {"message": message})
        await until_idle(page)


asyncio.run(ask(sys.argv[1], (sys.argv[2:] or ["ping"])[0]))
