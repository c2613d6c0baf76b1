"""Requests as bytes over TLS, and what comes back, so that odd clients can be played."""

import hashlib
import re
import socket
import ssl
import struct
import time

# Within a request: wait before sending on, as a slow client does.
PAUSE = b"{pause}"
PAUSE_SECONDS = 0.2
# Within a request: the server's own name and port.
HOST = b"{host}"
PATIENCE_SECONDS = 30


class Server:
    """One of the two that are compared. Certificates are not looked at: each has its own."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        # Of what it alone was sent, by digest.
        self.names = {}

    def host(self):
        return f"localhost:{self.port}"

    def content(self, name, times=64):
        """Bytes that only this server is sent: what the other one has stored says nothing of them, and
        nobody reads in distribution what is being pushed again, which writes it anew in place."""
        return self.note(name, f"{self.name:8}: {name}".encode() * times)

    def note(self, name, content):
        """The content; in answers its name stands for its digest from now on."""
        self.names[digest_of(content)] = name
        return content

    def ask(self, request):
        """Sends a well-formed request, on a connection of its own, and reads the answer."""
        return self.exchange(bytes(request))

    def exchange(self, raw, answers=1):
        """Sends a request as it is and reads so many answers, or to the end of the connection."""
        with self.talk() as conversation:
            conversation.send(raw)
            return conversation.read_all(answers, raw.split(b" ")[0].decode("latin-1"))

    def abort(self, raw, reset=False):
        """Sends a request and goes away without an answer."""
        with self.talk() as conversation:
            conversation.send(raw)
            # Let it be read first: what matters is a body that breaks off, not one that never came.
            time.sleep(PAUSE_SECONDS)
            if reset:
                conversation.reset()

    def talk(self, buffer_bytes=None):
        return Conversation(self, self.connect(buffer_bytes=buffer_bytes))

    def connect(self, protocols=(), buffer_bytes=None):
        """A TLS connection, for one of these protocols; a small buffer lets a server feel that nobody reads."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        plain = socket.socket()
        if buffer_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        plain.settimeout(PATIENCE_SECONDS)
        plain.connect(("127.0.0.1", self.port))
        return context.wrap_socket(plain, server_hostname="localhost")


class Conversation:
    """A connection on which one thing is done after another."""

    def __init__(self, server, connection):
        self.server = server
        self.connection = connection
        self.incoming = Incoming(connection)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, raw):
        """Sends bytes as they are, but for the pauses and the host in them."""
        for number, piece in enumerate(raw.replace(HOST, self.server.host().encode()).split(PAUSE)):
            if number:
                time.sleep(PAUSE_SECONDS)
            try:
                self.connection.sendall(piece)
            except OSError:
                return  # it has answered already, and closed

    def read(self, method="GET"):
        """The next answer, interim ones (1xx) too; None when the connection has ended, be it in its midst."""
        try:
            return self._read(method)
        except EOFError:
            return None

    def read_all(self, wanted, method="GET"):
        """So many final answers, or those before the end of the connection."""
        answers = []
        while len(answers) < wanted and (answer := self.read(method)):
            if answer.status >= 200:
                answers.append(answer)
        return answers

    def send_no_more(self):
        """Closes this side alone, of the socket: Python reads nothing on once it has closed TLS."""
        socket.socket.shutdown(self.connection, socket.SHUT_WR)

    def reset(self):
        """Goes away with a RST, as a process that was killed does."""
        reset(self.connection)

    def _read(self, method):
        line, *fields = self.incoming.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        answer = Answer(int(line.split()[1]), self.server)
        for field in fields:
            name, _, value = field.partition(":")
            answer.headers.setdefault(name.lower(), []).append(value.strip())
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return answer
        if "chunked" in answer.header("transfer-encoding"):
            answer.body = self._chunks()
        else:
            answer.body = self.incoming.exactly(int(answer.header("content-length") or 0))
        return answer

    def _chunks(self):
        body = bytearray()
        while size := int(self.incoming.until(b"\r\n").split(b";")[0], 16):
            body += self.incoming.exactly(size)
            self.incoming.until(b"\r\n")
        self.incoming.until(b"\r\n")
        return body


class Incoming:
    """What comes on a connection, read by the piece; EOFError when it ends before."""

    def __init__(self, connection):
        self.connection = connection
        self.held = bytearray()

    def exactly(self, count):
        while len(self.held) < count:
            self.more()
        taken = bytes(self.held[:count])
        del self.held[:count]
        return taken

    def until(self, mark):
        """What is before the mark, which is taken too."""
        while (at := self.held.find(mark)) < 0:
            self.more()
        return self.exactly(at + len(mark))[:at]

    def more(self, most=65536):
        """Takes in what is there, or waits for it."""
        try:
            came = self.connection.recv(most)
        except (ssl.SSLEOFError, ConnectionError):
            came = b""
        if not came:
            raise EOFError
        self.held += came


class Answer:
    """`status` is a number, or over HTTP/2 a word for what came instead of an answer."""

    def __init__(self, status, server):
        self.status = status
        self.server = server
        self.headers = {}
        self.body = bytearray()

    def is_refusal(self):
        return not isinstance(self.status, int) or self.status >= 400

    def header(self, name):
        return ", ".join(self.headers.get(name, []))

    def path(self):
        """Where the answer leads: path and query of its Location."""
        return re.sub(r"^https?://[^/]*", "", self.header("location"))


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
