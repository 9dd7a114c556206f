"""Runs beside the app: hands connections to the mock on, where pods or containers cannot reach the mock.

The source of this file is handed to the Python of the app's image (3.8 or newer, standard library only), ``-S -E -c``.
Its arguments are a word that only the run knows, the port for the run itself, the address on which the app expects the
mock, and its ports. The run connects to its port (a cluster's port-forward), or where that is 0 speaks over standard
input and output (an engine's attach). It says the word, and from then on every connection that the app opens is carried
over that one line: frames of a number, a kind, a length and so many bytes.

It ends when the run says so, or with SIGTERM: not before the connections that it carries have ended.
"""

import asyncio
import signal
import struct
import sys
from functools import partial

TYPE_CHECKING = False

HEAD = struct.Struct(">IBI")
OPEN, DATA, CLOSE, LEAVE = 0, 1, 2, 3
PIECE = 1 << 16
PATIENCE = 120.0
LAST_WORDS = 2.0


class Relay:
    """The line to the run, and the connections that are carried over it."""

    def __init__(self, word: bytes) -> None:
        """Carry nothing before ``word`` was said."""
        self.word = word
        self.line = None  # type: asyncio.StreamWriter | None
        self.there = asyncio.Event()
        self.open = {}  # type: dict[int, asyncio.StreamWriter]
        self.last = 0
        self.leaving = False
        self.done = asyncio.Event()

    async def run_side(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the line of the run; a new one takes the place of the one before."""
        try:
            if await reader.readexactly(len(self.word)) != self.word:
                return
            self.line = writer
            self.there.set()
            while True:
                number, kind, length = HEAD.unpack(await reader.readexactly(HEAD.size))
                data = await reader.readexactly(length)
                if kind == LEAVE:
                    self.leave()
                    continue
                pod = self.open.get(number)
                if pod is None:
                    continue
                if kind == CLOSE:
                    pod.close()
                else:
                    pod.write(data)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def pod_side(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection of a pod."""
        self.last += 1
        number = self.last
        self.open[number] = writer
        try:
            await asyncio.wait_for(self.there.wait(), PATIENCE)
            self.send(number, OPEN, struct.pack(">H", port))
            while True:
                data = await reader.read(PIECE)
                if not data:
                    break
                self.send(number, DATA, data)
        except (asyncio.TimeoutError, OSError):
            pass
        finally:
            self.open.pop(number, None)
            self.send(number, CLOSE, b"")
            writer.close()
            if self.leaving:
                self.leave()

    def leave(self) -> None:
        """End as soon as nothing is carried any more."""
        self.leaving = True
        if not self.open:
            self.done.set()

    def send(self, number: int, kind: int, data: bytes) -> None:
        """Put one frame on the line, if there is one."""
        if self.line is not None:
            self.line.write(HEAD.pack(number, kind, len(data)) + data)


async def main() -> None:
    """Serve until somebody removes the pod."""
    word, own, address, ports = (
        sys.argv[1].encode(),
        int(sys.argv[2]),
        sys.argv[3],
        [int(each) for each in sys.argv[4:]],
    )
    relay = Relay(word)
    for port in ports:
        await asyncio.start_server(partial(relay.pod_side, port), address, port)
    if own:
        server = await asyncio.start_server(relay.run_side, "127.0.0.1", own)
        line = server.serve_forever()
    else:
        line = relay.run_side(*await standard_streams())
    # The first process of a container is not ended by signals that it does not take itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, relay.leave)
    print("relaying", file=sys.stderr, flush=True)  # noqa: T201 - it is awaited
    works = [asyncio.ensure_future(each) for each in (line, relay.done.wait())]
    await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
    if own and relay.line is not None:  # with all that is still to be said
        relay.line.close()
        await asyncio.wait([asyncio.ensure_future(relay.line.wait_closed())], timeout=LAST_WORDS)


async def standard_streams() -> "tuple[asyncio.StreamReader, asyncio.StreamWriter]":
    """Standard input and output."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


if __name__ == "__main__":
    asyncio.run(main())
