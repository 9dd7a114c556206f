"""Very many streams that are open at once, each read to its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.load import question

SECONDS = 20.0
"""As long as all of them may take; what has not come to its end by then never does."""
_DONE = b"data: [DONE]"


@dataclass(frozen=True)
class Streams:
    """Streams that came to their end, of those that were opened, and the seconds from the first question on."""

    ended: int
    opened: int
    seconds: float

    def __str__(self) -> str:
        whole = f"{self.ended} complete in {self.seconds:.2f} s"
        return whole if self.ended == self.opened else f"not all came to an end: {self.ended} of {self.opened}"


def streams(port: int, count: int) -> Streams:
    """Ask for ``count`` streams: every connection is there before the first question, and each has its ``[DONE]``."""
    return asyncio.run(_all(port, count))


async def _all(port: int, count: int) -> Streams:
    opened = [await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), SECONDS) for _ in range(count)]
    begun = time.perf_counter()
    for number, (_reader, writer) in enumerate(opened):
        writer.write(question(f"a longer answer to stream, number {number}", stream=True))
    ends = await asyncio.gather(*(_ended(reader) for reader, _writer in opened))
    seconds = time.perf_counter() - begun
    for _reader, writer in opened:
        writer.close()
    return Streams(sum(ends), count, seconds)


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Whether the answer is a stream and comes to its end in time."""
    try:
        await asyncio.wait_for(reader.readuntil(_DONE), SECONDS)
    except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        return False
    return True
