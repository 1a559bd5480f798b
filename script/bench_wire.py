"""bench_wire - a TCP proxy between a client and its broker, which counts what passes and holds it back.

What a run needs of the network cannot be seen on loopback, where a round trip costs nothing. Here it
is counted: a round trip is a turn from bytes of the client to bytes of the broker that came behind
them. The TCP handshake, which happens before any byte, is not among them. DELAY is that of a round
trip: each direction holds every byte back for half of it, the end of the stream too.
"""
import asyncio
import threading


class Wire:
    """One proxy on a port of its own, in a thread of its own, until the block ends."""

    def __init__(self, broker_port, delay_s=0.0):
        self.broker_port, self.delay_s = int(broker_port), delay_s
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.forget()

    def forget(self):
        """Counts anew."""
        self.up = self.down = self.round_trips = 0
        self.asked = False          # the client spoke last

    def __enter__(self):
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = str(server.sockets[0].getsockname()[1])
        self.ready.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def serve(self, reader, writer):
        broker = await asyncio.open_connection("127.0.0.1", self.broker_port)
        await asyncio.gather(self.carry(reader, broker[1], self.count_up),
                             self.carry(broker[0], writer, self.count_down))

    def count_up(self, size):
        self.up += size
        self.asked = True

    def count_down(self, size):
        self.down += size
        self.round_trips += self.asked
        self.asked = False

    async def carry(self, reader, writer, count):
        """Bytes leave in the order they came, each after the delay; so does the end."""
        while True:
            try:
                piece = await reader.read(65536)
            except ConnectionError:
                piece = b""
            if piece:
                count(len(piece))
            self.loop.call_later(self.delay_s / 2, self.give, writer, piece)
            if not piece:
                return

    @staticmethod
    def give(writer, piece):
        if writer.is_closing():
            return
        if piece:
            writer.write(piece)
        else:
            writer.close()
