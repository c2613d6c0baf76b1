"""Schemathesis over the served document: no 5xx, whatever is asked, and answers as it says.

Makes one of everything first and tells the generator its names, so that it reaches what lies behind
the checks; half of what it asks is still its own. Prints for each operation how many calls were
answered with which status. Arguments: seconds, and the least number of operations that must have
succeeded once.
"""

import collections
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from base64 import b64encode
from pathlib import Path

import jsonschema_rs
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

DIALECT = "https://json-schema.org/draft/2020-12/schema"
GATEWAY = os.environ["GATEWAY_URL"]
AUTHORITY = os.environ["GATEWAY_CA"]
TARGET = os.environ["TARGET_URL"]
# The user to ask as, `name:password`; empty is nobody.
WHO = os.environ["FUZZ_AS"]
ADMINISTRATOR = f"admin:{os.environ['ADMIN_PASSWORD']}"
SECONDS, LEAST = int(sys.argv[1]), int(sys.argv[2])
ROOT = f"{GATEWAY}/api/v2.0"

CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
LEFT_OUT = {
    "/api/v2.0/users/{user_id}/password": "it would lock the fuzzer's own user out",
    "/service/notifications": "not configured here: one plain answer to everything",
}


def call(path, body=None, root=ROOT):
    request = urllib.request.Request(root + path, method="POST" if body else "GET")
    request.add_header("Authorization", f"Basic {b64encode(ADMINISTRATOR.encode()).decode()}")
    if body:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    trust = ssl.create_default_context(cafile=AUTHORITY)
    return urllib.request.urlopen(request, context=trust)


def make(path, body):
    location = call(path, body).headers["Location"]
    return int(location.rsplit("/", 1)[1])


def make_one_of_everything():
    """Names and ids by the parameter and the part of the path before it."""
    user = {"username": "fuzzed", "password": "Walker12345", "email": "f@example.com"}
    access = [{"resource": "repository", "action": "pull"}]
    permission = {"kind": "project", "namespace": "held", "access": access}
    robot = {"name": "fuzzed", "level": "project", "duration": 1, "permissions": [permission]}
    registry = {"name": "fuzzed", "type": "docker-registry", "url": TARGET}
    users, registries = make("/users", user), make("/registries", registry)
    policy = {"name": "fuzzed", "dest_registry": {"id": registries}, "enabled": True}
    policies = make("/replication/policies", policy)
    member = {"role_id": 3, "member_user": {"user_id": users}}
    return {
        "project_name_or_id": "held",
        "project_name": "held",
        "repository_name": "app",
        "reference": "v1",
        "tag_name": "v1",
        "meta_name": "public",
        "addition": "build_history",
        "job_type": "all",
        "pool_id": "all",
        "user_id": users,
        "robot_id": make("/robots", robot),
        "mid": make("/projects/held/members", member),
        "registries/{id}": registries,
        "policies/{id}": policies,
        "executions/{id}": make("/replication/executions", {"policy_id": policies}),
    }


def told(document, known):
    """The document, with what is there among the values of parameters and fields."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                if parameter.get("in") != "path":
                    continue
                name = parameter["name"]
                place = f"{path.split('{' + name + '}')[0].rstrip('/').rsplit('/', 1)[-1]}/{{{name}}}"
                value = known.get(place, known.get(name))
                # Deletions ask for something else, or little would be left to ask for.
                if value is not None and method != "delete":
                    parameter["schema"] = {"anyOf": [{"enum": [value]}, parameter["schema"]]}
    schemas = document["components"]["schemas"]
    for name in ["RegistryRequest", "RegistryUpdate"]:
        # Nothing but this machine is asked.
        schemas[name]["properties"]["url"] = {"enum": [TARGET, "http://127.0.0.1:9", "nowhere"]}
    # Set once, it would end all other changes.
    del schemas["Configurations"]["properties"]["read_only"]
    start = schemas["StartReplicationExecution"]["properties"]
    start["policy_id"] = {"anyOf": [{"enum": [known["policies/{id}"]]}, start["policy_id"]]}
    return document


def validate(document):
    """The document is OpenAPI 3.1, and its schemas are schemas."""
    OPENAPI_31_VALIDATOR.validate(document)
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})
        except ValueError as error:
            sys.exit(f"{name} is no schema: {error}")


def run(document, reports):
    path = reports / "document.json"
    path.write_text(json.dumps(document))
    command = [
        str(Path(sys.executable).with_name("st")), "run", str(path), "--url", GATEWAY,
        "--tls-verify", AUTHORITY, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--max-time", str(SECONDS), "--seed", "20", "--no-shrink", "--continue-on-failure",
        "--request-timeout", "15", "--warnings", "off",
        # Paths whose parameters must be names leave few of the texts that it thinks of.
        "--suppress-health-check", "filter_too_much",
        "--report", "ndjson", "--report-ndjson-path", str(reports / "report.ndjson"),
    ]  # fmt: skip
    for left_out in LEFT_OUT:
        command += ["--exclude-path", left_out]
    if WHO:
        command += ["--auth", WHO]
    return subprocess.run(command, cwd=reports, check=False).returncode


def statuses(report):
    counts = collections.defaultdict(collections.Counter)
    for line in report.open():
        scenario = json.loads(line).get("ScenarioFinished")
        if not scenario:
            continue
        recorder = scenario["recorder"]
        for interaction in (recorder.get("interactions") or {}).values():
            status = (interaction.get("response") or {}).get("status_code", "no answer")
            counts[recorder["label"]][str(status)] += 1
    return counts


def main():
    served = json.load(call("/openapi.json", root=f"{GATEWAY}/api"))
    validate(served)
    known = make_one_of_everything()
    with tempfile.TemporaryDirectory() as directory:
        reports = Path(directory)
        code = run(told(served, known), reports)
        counts = statuses(reports / "report.ndjson")
    reached = [name for name, found in counts.items() if any(s.startswith("2") for s in found)]
    for name in sorted(counts):
        print(name, " ".join(f"{status}:{n}" for status, n in sorted(counts[name].items())))
    calls = sum(sum(found.values()) for found in counts.values())
    print(f"{calls} calls, {len(counts)} operations, {len(reached)} of them with a 2xx")
    faults = [name for name, found in counts.items() if any(s.startswith("5") for s in found)]
    if code or faults:
        sys.exit(f"schemathesis ended with {code}; 5xx at {faults}")
    if len(reached) < LEAST:
        sys.exit(f"only {len(reached)} operations were reached, {LEAST} are wanted")


main()
