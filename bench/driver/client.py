"""A registry client over one or more TLS connections, as lean as Python allows.

Its own CPU time does not count: only that of the servers is measured."""

import base64
import http.client
import json
import socket
import ssl
import threading
from urllib.parse import urlencode

PIECE_BYTES = 1024 * 1024


class Client:
    """Connections of one thread each; cheap requests keep theirs alive."""

    def __init__(self, port, certificate):
        self.port = port
        self.certificate = certificate
        self.context = ssl.create_default_context(cafile=certificate)
        self.local = threading.local()
        self.account = None

    def sign_in(self, username, password):
        self.account = self.basic(username, password)

    def another(self):
        """With connections of its own, for the same account."""
        other = Client(self.port, self.certificate)
        other.account = self.account
        return other

    def connect(self):
        """A TLS connection for bytes of the caller's own."""
        plain = socket.create_connection(("127.0.0.1", self.port))
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    @staticmethod
    def basic(username, password):
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()

    def close(self):
        if connection := getattr(self.local, "connection", None):
            connection.close()
            self.local.connection = None

    def request(self, method, target, headers=None, body=None, expect=(200,)):
        """A small request; the answer's headers and body."""
        connection = self._connection()
        connection.request(method, target, body=body, headers=headers or {})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status not in expect:
            raise SystemExit(f"{method} {target} was answered {answer.status}: {content[:300]!r}")
        return answer.headers, content

    def token(self, scope, service):
        query = urlencode({"service": service, "scope": scope})
        headers = {"Authorization": self.account}
        _headers, content = self.request("GET", f"/service/token?{query}", headers)
        return json.loads(content)["token"]

    def service(self):
        """The token service's name, from the challenge."""
        headers, _content = self.request("GET", "/v2/", expect=(401,))
        challenge = headers["WWW-Authenticate"]
        return challenge.split('service="', 1)[1].split('"', 1)[0]

    def authorization(self, server):
        """The header for registry requests of a server; empty where none is needed."""
        scope = server.scope()
        if scope is None:
            return {}
        return {"Authorization": "Bearer " + self.token(scope, self.service())}

    def get_blob(self, target, headers, buffer):
        """Reads a blob and throws it away; its length."""
        connection = self._connection()
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"GET {target} was answered {answer.status}: {answer.read(300)!r}")
        total = 0
        while count := answer.readinto(buffer):
            total += count
        return total

    def put_blob(self, repository, digest, pieces, size, headers):
        """POST, then PUT of the whole blob."""
        location = self.begin_upload(repository, headers)
        self.send("PUT", self.with_digest(location, digest), pieces, size, headers, expect=201)

    def begin_upload(self, repository, headers):
        """The target of a new upload session."""
        headers = {**headers, "Content-Length": "0"}
        target = f"/v2/{repository}/blobs/uploads/"
        answer, _content = self.request("POST", target, headers, expect=(202,))
        return self.target_of(answer)

    def target_of(self, answer):
        """Where an answer's `Location` leads, at this server."""
        location = answer["Location"].removeprefix(f"https://127.0.0.1:{self.port}")
        return location.removeprefix(f"https://localhost:{self.port}")

    @staticmethod
    def with_digest(location, digest):
        separator = "&" if "?" in location else "?"
        return f"{location}{separator}{urlencode({'digest': digest})}"

    def send(self, method, target, pieces, size, headers, expect):
        """A request with a body of blob data; the answer's headers."""
        connection = self._connection()
        connection.putrequest(method, target)
        connection.putheader("Content-Length", str(size))
        connection.putheader("Content-Type", "application/octet-stream")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for piece in pieces:
            connection.sock.sendall(piece)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != expect:
            raise SystemExit(f"{method} of a blob was answered {answer.status}: {content[:300]!r}")
        return answer.headers

    def _connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self.context, timeout=900
            )
        return self.local.connection
