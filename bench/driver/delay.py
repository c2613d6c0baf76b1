"""`python3 -m driver.delay LISTEN TARGET RTT_MS`: a TCP forwarder with a round-trip time.

Every byte is delivered half a round trip later in each direction, and the first ones a whole round
trip later, for the handshake. Bandwidth is not limited and there is no slow start, for nobody. With
`stall` in place of the round-trip time connections are accepted and nothing is read from them."""

import asyncio
import sys

PIECE_BYTES = 256 * 1024
# What may be on the way in one direction: a gigabit for half a second.
WINDOW_PIECES = 256


async def _carry(reader, writer, delay, handshake):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(WINDOW_PIECES)

    async def receive():
        try:
            while piece := await reader.read(PIECE_BYTES):
                await queue.put((loop.time() + delay, piece))
        except ConnectionError:
            pass
        await queue.put((loop.time() + delay, b""))

    receiving = asyncio.create_task(receive())
    try:
        await asyncio.sleep(handshake)
        while True:
            due, piece = await queue.get()
            await asyncio.sleep(due - loop.time())
            if not piece:
                break
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        receiving.cancel()
        writer.close()


async def _serve(listen, target, rtt):
    async def accept(reader, writer):
        if rtt is None:
            await asyncio.Event().wait()
        try:
            onward = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            _carry(reader, onward[1], rtt / 2, rtt),
            _carry(onward[0], writer, rtt / 2, 0),
        )

    # A stalled peer reads as little as the protocol lets it.
    limit = 1 if rtt is None else PIECE_BYTES
    server = await asyncio.start_server(accept, "127.0.0.1", listen, limit=limit)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    listen, target, rtt = sys.argv[1:]
    rtt = None if rtt == "stall" else float(rtt) / 1000
    try:
        asyncio.run(_serve(int(listen), int(target), rtt))
    except KeyboardInterrupt:
        pass
