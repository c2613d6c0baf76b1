"""A registry client over one or more TLS connections, as lean as Python allows.

Its own CPU time does not count: only that of the servers is measured."""

import base64
import http.client
import json
import ssl
import threading
from urllib.parse import urlencode

PIECE_BYTES = 1024 * 1024


class Client:
    """Connections of one thread each; cheap requests keep theirs alive."""

    def __init__(self, port, certificate):
        self.port = port
        self.context = ssl.create_default_context(cafile=certificate)
        self.local = threading.local()
        self.account = None

    def sign_in(self, username, password):
        self.account = self.basic(username, password)

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
        answer, _content = self.request(
            "POST", f"/v2/{repository}/blobs/uploads/", {**headers, "Content-Length": "0"}, expect=(202,)
        )
        location = answer["Location"].removeprefix(f"https://127.0.0.1:{self.port}")
        location = location.removeprefix(f"https://localhost:{self.port}")
        separator = "&" if "?" in location else "?"
        connection = self._connection()
        connection.putrequest("PUT", f"{location}{separator}{urlencode({'digest': digest})}")
        connection.putheader("Content-Length", str(size))
        connection.putheader("Content-Type", "application/octet-stream")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        for piece in pieces:
            connection.sock.sendall(piece)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 201:
            raise SystemExit(f"PUT of a blob was answered {answer.status}: {content[:300]!r}")

    def _connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self.context, timeout=900
            )
        return self.local.connection
