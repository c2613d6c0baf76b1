"""HTTP/2 by the frame, so that odd clients can be played. Of the protocol only what a client must do by
itself is done here: settings and pings are acknowledged, windows of the server are kept to."""

import struct

import hpack

from wire import HOST, Answer, Incoming, reset

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS, PADDED = 0x4, 0x8
INITIAL_WINDOW_SIZE = 4
CANCEL = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Larger than anything that the corpus pulls.
WINDOW_BYTES = 1 << 26
FRAME_BYTES = 1 << 14


class OverHttp2:
    """A server, asked over HTTP/2."""

    def __init__(self, server):
        self.server = server

    def content(self, name, times=64):
        """As `Server.content`."""
        return self.server.content(f"{name}, over HTTP/2", times)

    def note(self, name, content):
        """As `Server.note`."""
        return self.server.note(name, content)

    def ask(self, request):
        """Sends a request, on a connection of its own, and reads the answer."""
        with self.talk() as talk:
            return talk.answers(talk.ask(request))

    def talk(self, **options):
        return Talk(self.server, **options)


class Talk:
    """A connection. A stream's number is where its answer is found."""

    def __init__(self, server, window=WINDOW_BYTES, preface=PREFACE, buffer_bytes=None):
        self.server = server
        self.connection = server.connect(["h2"], buffer_bytes)
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.last_stream = -1
        self.found, self.ended, self.is_over = {}, set(), False
        self.windows, self.initial_window = {0: 65535}, 65535
        self.pongs = 0
        self.incoming = Incoming(self.connection)
        self.send(preface + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window))
                  + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW_BYTES)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def reset(self):
        """Goes away with a RST, as a process that was killed does."""
        reset(self.connection)

    # What is sent.

    def send(self, raw):
        try:
            self.connection.sendall(raw)
        except OSError:
            pass  # it has answered already, and closed

    def stream(self):
        """A new stream's number."""
        self.last_stream += 2
        return self.last_stream

    def fields(self, fields):
        """A block of header fields, names and values as they are."""
        own = self.server.host()
        return self.encoder.encode([(name, value.replace(HOST.decode(), own)) for name, value in fields])

    def head(self, fields, flags=END_STREAM):
        """Begins a stream with these fields; its number."""
        number = self.stream()
        first, *others = _pieces(self.fields(fields))
        self.send(frame(HEADERS, flags | (0 if others else END_HEADERS), number, first))
        for left, piece in zip(reversed(range(len(others))), others):
            self.send(frame(CONTINUATION, 0 if left else END_HEADERS, number, piece))
        return number

    def ask(self, request):
        """Sends a whole request; its stream."""
        number = self.head(request.fields(), 0 if request.body else END_STREAM)
        if request.body:
            self.body(number, request.body)
        return number

    def body(self, number, content, flags=END_STREAM, most=FRAME_BYTES):
        """Sends a body in frames of at most so many bytes, as fast as the server takes it."""
        while content:
            room = self.room(number)
            while room <= 0 and number not in self.ended and self.listen():
                room = self.room(number)
            if room <= 0:
                return  # it wants no more
            piece, content = content[:min(most, room)], content[min(most, room):]
            self.windows[0] -= len(piece)
            self.windows[number] = self.windows.get(number, 0) - len(piece)
            self.send(frame(DATA, 0 if content else flags, number, piece))

    def room(self, number):
        return min(self.windows[0], self.initial_window + self.windows.get(number, 0))

    def widen(self, number, count):
        """Lets the server send more."""
        self.send(frame(WINDOW_UPDATE, 0, number, struct.pack(">I", count)))

    def cancel(self, number):
        self.send(frame(RST_STREAM, 0, number, struct.pack(">I", CANCEL)))

    # What comes back.

    def answers(self, *numbers):
        """What was answered on each stream: an Answer whose status may be `reset` (this stream was) or
        `closed` (the connection was)."""
        while not self.ended.issuperset(numbers) and self.listen():
            pass
        return [self._answer(number) for number in numbers]

    def _answer(self, number):
        if number in self.ended:
            return self.found[number]
        return Answer("closed", self.server)

    def pong(self):
        """Whether the connection is alive: waits for the answer to a ping."""
        before = self.pongs
        self.send(frame(PING, 0, 0, b"parity.."))
        while self.pongs == before and self.listen():
            pass
        return self.pongs > before

    def listen(self):
        """Takes in the next frame; whether there was one."""
        try:
            if not self.is_over:
                self._take(*self._next())
        except EOFError:
            self.is_over = True
        return not self.is_over

    def _next(self):
        head = self.incoming.exactly(9)
        payload = self.incoming.exactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload

    def _take(self, kind, flags, number, payload):
        answer = self.found.setdefault(number, Answer("nothing", self.server)) if number else None
        if kind == HEADERS:
            self._take_fields(answer, flags, payload)
        elif kind == DATA:
            answer.body += payload
        elif kind == RST_STREAM and number not in self.ended:
            self.found[number] = Answer("reset", self.server)
            self.ended.add(number)
        elif kind == GOAWAY:
            _last, code = struct.unpack(">II", payload[:8])
            # Without an error the streams that were begun are still answered.
            self.is_over = code != 0
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    self.initial_window = value
            self.send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == PING:
            self.pongs += 1
        elif kind == WINDOW_UPDATE:
            self.windows[number] = self.windows.get(number, 0) + int.from_bytes(payload, "big")
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(number)

    def _take_fields(self, answer, flags, payload):
        while not flags & END_HEADERS:
            _kind, flags, _number, more = self._next()
            payload += more
        fields = {}
        for name, value in self.decoder.decode(payload):
            fields.setdefault(name, []).append(value)
        status = fields.pop(":status", None)
        if status and int(status[0]) >= 200:
            answer.status, answer.headers = int(status[0]), fields


def _pieces(block):
    """As large as a frame may be."""
    return [block[at:at + FRAME_BYTES] for at in range(0, len(block), FRAME_BYTES)]


def frame(kind, flags, number, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload
