"""The servers under test, all on loopback, all below one temporary directory."""

import copy
import json
import os
import subprocess

from .client import Client
from .processes import Process, free_port

ADMIN_PASSWORD = "bench-Admin-1"
PROJECT = "bench"


class Bench:
    """Starts servers on demand and stops them all at the end."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []
        self.certificate = os.path.join(directory, "tls.crt")
        self.key = os.path.join(directory, "tls.key")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        command = command.split() + ["-subj", "/CN=localhost", "-addext"]
        command += ["subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", self.key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        for process in reversed(self.processes):
            process.stop()

    def registry(self, name="registry", port=None):
        """CNCF distribution without TLS or authentication; the process and its port. One at a
        given port has an access log."""
        is_silent = "true" if port is None else "false"
        port = port or free_port()
        config = f"""
version: 0.1
log: {{level: error, accesslog: {{disabled: {is_silent}}}}}
storage: {{filesystem: {{rootdirectory: {self.directory}/{name}}}, delete: {{enabled: true}}}}
http: {{addr: '127.0.0.1:{port}', secret: bench, relativeurls: true}}
"""
        path = self._write(f"{name}.yml", config)
        process = self.start(name, ["docker-registry", "serve", path])
        process.wait_for_port(port)
        return process, port

    def nginx(self, registry_port):
        """nginx as DESIGN's table has it: TLS, 128 KiB buffers, upstream keep-alive."""
        port = free_port()
        config = NGINX.format(
            directory=self.directory,
            port=port,
            registry_port=registry_port,
            certificate=self.certificate,
            key=self.key,
        )
        path = self._write("nginx.conf", config)
        process = self.start("nginx", ["nginx", "-c", path, "-p", self.directory])
        process.wait_for_port(port)
        return Server("nginx", process, Client(port, self.certificate), repository_prefix="")

    def tidegate(self, registry_port=None, name="tidegate", database=None):
        """Tidegate before that registry, or before its embedded one; SQLite unless `database` is
        the URL of another. Started twice: the first start makes the database, the second is the
        one whose time counts."""
        port = free_port()
        config = TIDEGATE.format(
            directory=f"{self.directory}/{name}",
            port=port,
            certificate=self.certificate,
            key=self.key,
            password=ADMIN_PASSWORD,
            database=database or f"sqlite://{self.directory}/{name}/tidegate.db",
        )
        if registry_port is not None:
            config += f'\n[upstream]\nurl = "http://127.0.0.1:{registry_port}"\n'
        os.makedirs(f"{self.directory}/{name}", exist_ok=True)
        path = self._write(f"{name}.toml", config)
        command = [os.environ["TIDEGATE"], "serve", "--config", path]
        first = self.start(name, command)
        first.wait_for_port(port)
        client = Client(port, self.certificate)
        self._make_project(client)
        client.close()
        self.stop(first)
        process = self.start(name, command)
        start_seconds = process.wait_for_port(port)
        client = Client(port, self.certificate)
        client.sign_in("admin", ADMIN_PASSWORD)
        server = Server(name, process, client, repository_prefix=f"{PROJECT}/")
        server.start_seconds = start_seconds
        server.database = f"{self.directory}/{name}/tidegate.db"
        return server

    def _make_project(self, client):
        headers = {"Authorization": client.basic("admin", ADMIN_PASSWORD)}
        headers["Content-Type"] = "application/json"
        body = json.dumps({"project_name": PROJECT, "metadata": {"public": "false"}})
        client.request("POST", "/api/v2.0/projects", headers, body.encode(), expect=(201, 409))

    def start(self, name, command):
        process = Process(name, command, os.path.join(self.directory, f"{name}.log"))
        self.processes.append(process)
        return process

    def stop(self, process):
        process.stop()
        self.processes.remove(process)

    def _write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Server:
    """A server that speaks the registry protocol over TLS."""

    def __init__(self, name, process, client, repository_prefix):
        self.name = name
        self.process = process
        self.client = client
        # A repository of Tidegate belongs to a project; before the plain registry, nginx shows
        # the same repository under the same name.
        self.repository = f"{PROJECT}/image"
        self.needs_token = bool(repository_prefix)
        self.start_seconds = None
        self.database = None

    def apart(self, suffix):
        """The same server for another client, with a repository of its own."""
        other = copy.copy(self)
        other.client = self.client.another()
        other.repository = self.repository + suffix
        return other

    def create(self, path, body):
        """Something of the API; its id."""
        headers = {"Authorization": self.client.basic("admin", ADMIN_PASSWORD)}
        headers["Content-Type"] = "application/json"
        content = json.dumps(body).encode()
        answer, _ = self.client.request("POST", f"/api/v2.0{path}", headers, content, expect=(201,))
        return int(answer["Location"].rsplit("/", 1)[1])

    def scope(self):
        return f"repository:{self.repository}:pull,push" if self.needs_token else None


NGINX = """
daemon off;
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log {directory}/nginx-access.log;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    upstream registry {{ server 127.0.0.1:{registry_port}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        client_max_body_size 0;
        client_body_buffer_size 128k;
        keepalive_requests 1000000;
        location /v2/ {{
            proxy_pass http://registry;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_buffer_size 128k;
            proxy_buffers 8 128k;
            proxy_busy_buffers_size 256k;
            proxy_read_timeout 900;
        }}
    }}
}}
"""

TIDEGATE = """
[server]
listen = "127.0.0.1:{port}"
data_dir = "{directory}"

[tls]
cert = "{certificate}"
key = "{key}"

[database]
url = "{database}"

[auth]
admin_password = "{password}"
"""
