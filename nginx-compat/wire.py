"""Requests as bytes over TLS, and what comes back, so that odd clients can be played."""

import re
import socket
import ssl
import time

# Within a request: wait before sending on, as a slow client does.
PAUSE = b"{pause}"
PAUSE_SECONDS = 0.2
# Within a request: the server's own name and port.
HOST = b"{host}"
PATIENCE_SECONDS = 15


class Server:
    """One of the two that are compared. Certificates are not looked at: each has its own."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def host(self):
        return f"localhost:{self.port}"

    def exchange(self, raw, answers=1):
        """Sends a request as it is and reads so many answers, or to the end of the connection."""
        with self._connect() as connection:
            self._send(connection, raw)
            return self._read(connection, raw.startswith(b"HEAD"), answers)

    def abort(self, raw):
        """Sends a request and goes away without an answer."""
        connection = self._connect()
        self._send(connection, raw)
        # Let it be read first: what matters is a body that breaks off, not one that never came.
        time.sleep(PAUSE_SECONDS)
        connection.close()

    def _connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS)
        return self.context.wrap_socket(plain, server_hostname="localhost")

    def _send(self, connection, raw):
        for number, piece in enumerate(raw.replace(HOST, self.host().encode()).split(PAUSE)):
            if number:
                time.sleep(PAUSE_SECONDS)
            try:
                connection.sendall(piece)
            except OSError:
                return  # it has answered already, and closed

    def _read(self, connection, is_head, wanted):
        answers, data = [], b""
        while len(answers) < wanted:
            answer, rest = self._take(data, is_head)
            if answer:
                data = rest
                if answer.status >= 200:
                    answers.append(answer)
                continue
            try:
                more = connection.recv(65536)
            except (ssl.SSLEOFError, ConnectionResetError):
                more = b""
            if not more:
                break
            data += more
        return answers

    def _take(self, data, is_head):
        """The first answer of the bytes, if it is there whole, and what is behind it."""
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            return None, data
        line, *fields = head.decode("latin-1").split("\r\n")
        answer = Answer(int(line.split()[1]), self)
        for field in fields:
            name, _, value = field.partition(":")
            answer.headers.setdefault(name.lower(), []).append(value.strip())
        if is_head or answer.status < 200 or answer.status in (204, 304):
            return answer, rest
        if "chunked" in answer.header("transfer-encoding"):
            whole = _dechunked(rest)
            if whole is None:
                return None, data
            answer.body, rest = whole
            return answer, rest
        length = int(answer.header("content-length") or 0)
        if len(rest) < length:
            return None, data
        answer.body = rest[:length]
        return answer, rest[length:]


class Answer:
    def __init__(self, status, server):
        self.status = status
        self.server = server
        self.headers = {}
        self.body = b""

    def header(self, name):
        return ", ".join(self.headers.get(name, []))

    def path(self):
        """Where the answer leads: path and query of its Location."""
        return re.sub(r"^https?://[^/]*", "", self.header("location"))


def _dechunked(data):
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            return None
        size = int(line.split(b";")[0], 16)
        if len(data) < size + 2:
            return None
        body, data = body + data[:size], data[size + 2:]
        if size == 0:
            return body, data
