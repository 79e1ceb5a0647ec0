"""A Kubernetes API server, as far as Weir speaks to it: lists, get, server-side apply, delete, dry run, real schemas.

Objects are checked against the custom resource definitions' OpenAPI schemas (unknown fields are refused, as with
fieldValidation=Strict); a spec that changes raises `generation`, anything that changes raises `resourceVersion`; a
field that another manager owns is a conflict unless forced. `follow()` is the gateway's controller.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

SCHEMAS = json.loads((Path(__file__).parents[2] / "samples" / "k8s" / "schemas.json").read_text())
TOKEN = "kube-secret"


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, as a structural schema prunes or refuses them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


VALIDATORS = {
    kind: jsonschema.Draft7Validator(closed(each["schema"]["properties"]["spec"])) for kind, each in SCHEMAS.items()
}


class Store:
    """The objects by (plural, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.owners: dict[tuple[str, str], str] = {}
        self.version = 100
        self.calls: list[str] = []
        self.fail_after: int | None = None
        self.lock = threading.RLock()

    def touch(self, found: dict[str, Any]) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)

    def edit(self, plural: str, name: str, change: Any) -> None:
        """What `kubectl edit` of someone else does."""
        with self.lock:
            found = self.objects[plural, name]
            change(found["spec"])
            found["metadata"]["generation"] += 1
            self.owners[plural, name] = "kubectl-edit"
            self.touch(found)

    def follow(self, status: str = "True", reason: str = "Accepted") -> None:
        """The controller reports on every object as it stands now."""
        with self.lock:
            for (plural, _), found in self.objects.items():
                if plural == "configmaps":
                    continue
                condition = {
                    "type": "Accepted",
                    "status": status,
                    "reason": reason,
                    "message": "",
                    "observedGeneration": found["metadata"]["generation"],
                }
                where = "ancestors" if plural == "backendtrafficpolicies" else "parents"
                found["status"] = (
                    {"conditions": [condition]}
                    if plural == "aigatewayroutes"
                    else {where: [{"conditions": [condition]}]}
                )
                self.touch(found)


def handler(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def answer(self, status: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def problem(self, status: int, message: str) -> None:
            self.answer(status, {"kind": "Status", "status": "Failure", "message": message, "code": status})

        def handle_call(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            pieces = parts.path.strip("/").split("/")
            plural, name = pieces[pieces.index("namespaces") + 2], ""
            if len(pieces) > pieces.index("namespaces") + 3:
                name = pieces[-1]
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.problem(401, "Unauthorized")
                return
            with store.lock:
                writes = self.command != "GET" and "dryRun" not in query
                if writes:
                    if store.fail_after is not None and store.fail_after <= 0:
                        self.problem(503, "etcdserver: request timed out")
                        return
                    if store.fail_after is not None:
                        store.fail_after -= 1
                    store.calls.append(f"{self.command} {plural}/{name}")
                self.act(plural, name, query, body)

        def act(self, plural: str, name: str, query: dict[str, str], body: Any) -> None:
            key = (plural, name)
            if self.command == "GET" and not name:
                wanted = dict(each.split("=") for each in query["labelSelector"].split(","))
                items = [
                    {key: value for key, value in each.items() if key not in ("kind", "apiVersion")}
                    for (kind, _), each in sorted(store.objects.items())
                    if kind == plural and wanted.items() <= each["metadata"].get("labels", {}).items()
                ]
                start, limit = int(query.get("continue", 0)), int(query.get("limit", 500))
                more = {"continue": str(start + limit)} if start + limit < len(items) else {}
                self.answer(200, {"items": items[start : start + limit], "metadata": more})
            elif self.command == "GET":
                found = store.objects.get(key)
                self.answer(200, found) if found else self.problem(404, f"{plural} {name!r} not found")
            elif self.command == "PATCH":
                self.apply(key, query, body)
            else:
                self.delete(key, query, body)

        def apply(self, key: tuple[str, str], query: dict[str, str], body: Any) -> None:
            assert self.headers["Content-Type"] == "application/apply-patch+yaml"
            found = store.objects.get(key)
            validator = VALIDATORS.get(body["kind"])
            errors = [*validator.iter_errors(body["spec"])] if validator else []
            if errors:
                self.problem(422, f"{body['kind']} is invalid: {errors[0].message}")
                return
            given = body["metadata"].get("resourceVersion")
            if given is not None and (found is None or found["metadata"]["resourceVersion"] != given):
                self.problem(409, "the object has been modified")
                return
            owner = store.owners.get(key)
            if found and owner not in (None, query["fieldManager"]) and query["force"] != "true":
                self.problem(409, f'conflict with "{owner}": .spec')
                return
            if "dryRun" in query:
                self.answer(200, body)
                return
            made = json.loads(json.dumps(body))
            meta = made["metadata"]
            meta["uid"] = found["metadata"]["uid"] if found else uuid.uuid4().hex
            if "spec" in made:
                held = found["metadata"]["generation"] if found else 0
                meta["generation"] = held if found and found["spec"] == made["spec"] else held + 1
            if found and "status" in found:
                made["status"] = found["status"]
            store.objects[key], store.owners[key] = made, query["fieldManager"]
            store.touch(made)
            self.answer(200, made)

        def delete(self, key: tuple[str, str], query: dict[str, str], body: Any) -> None:
            found = store.objects.get(key)
            if found is None:
                self.problem(404, "not found")
            elif body["preconditions"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                self.problem(409, "the object has been modified")
            else:
                if "dryRun" not in query:
                    del store.objects[key]
                self.answer(200, {"kind": "Status", "status": "Success"})

        do_GET = do_PATCH = do_DELETE = handle_call

    return Handler


@contextmanager
def running() -> Iterator[tuple[str, Store]]:
    """The server's address and its store."""
    store = Store()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(store))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
