"""An asyncio loop in a thread of its own: what a thread runs, and how what still goes on in it is ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run(loop: asyncio.AbstractEventLoop, last: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``loop`` until somebody stops it, then ``last``; at the end it is closed."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(last())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def end_tasks(seconds: float) -> None:
    """Cancel every other task, and wait for them so long: what is let go of meanwhile would speak up later."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    await asyncio.sleep(0)  # lets the transports tell their protocols that they are gone
