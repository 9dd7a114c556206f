"""Very many streams that are open at once, each read to its end."""

from __future__ import annotations

import asyncio
import time

from benchmarks.load import question
from benchmarks.measure import Row

_SECONDS = 60.0


def streams(port: int, count: int) -> Row:
    """One row: every connection is there before the first question is asked, and each comes to its ``[DONE]``."""
    done, seconds = asyncio.run(asyncio.wait_for(_all(port, count), _SECONDS))
    wrong = "" if done == count else f"{done} of {count} streams came to their end"
    return Row(f"endpoint, {count} open streams", f"{done} complete in {seconds:.2f} s", wrong=wrong)


async def _all(port: int, count: int) -> tuple[int, float]:
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    begun = time.perf_counter()
    for number, (_reader, writer) in enumerate(opened):
        writer.write(question(f"a longer answer to stream, number {number}", stream=True))
    ends = await asyncio.gather(*(_whole(reader) for reader, _writer in opened))
    seconds = time.perf_counter() - begun
    for _reader, writer in opened:
        writer.close()
    return sum(ends), seconds


async def _whole(reader: asyncio.StreamReader) -> bool:
    text = await reader.readuntil(b"0\r\n\r\n")
    return b"data: [DONE]" in text
