"""LiteLLM's proxy, as far as Weir speaks to it, behaving as a real one (1.106) was measured to.

Answers have the shapes that were captured from it; `order` is dropped by POST /model/update; a credential name must
exist; keys and teams must exist before they are limited; no version, no compare-and-swap.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MASTER = "sk-master"


class Proxy:
    """Its state."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.teams: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.credentials = {"azure-prod"}
        self.logs: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.fail_after: int | None = None
        self.lock = threading.RLock()

    def add_team(self, team: str, **limits: Any) -> None:
        self.teams[team] = {
            "team_id": team,
            "blocked": False,
            "rpm_limit": None,
            "tpm_limit": None,
            "metadata": {},
            **limits,
        }

    def add_key(self, key: str) -> None:
        self.keys[key] = {"key": key, "blocked": None, "rpm_limit": None, "tpm_limit": None}

    def shares(self, model: str) -> dict[str, dict[str, int]]:
        """What its router would do: order -> model id -> weight, of those that are not blocked."""
        found: dict[str, dict[str, int]] = {}
        for key, each in self.models.items():
            params = each["litellm_params"]
            if each["model_name"] == model and not each["model_info"].get("blocked") and params.get("weight"):
                found.setdefault(str(params.get("order", 1)), {})[key] = params["weight"]
        return found


class NotThere(Exception):
    pass


class Bad(Exception):
    pass


def respond(proxy: Proxy, method: str, path: str, query: dict[str, str], body: Any) -> Any:
    match method, path.strip("/").split("/"):
        case "GET", ["model", "info"]:
            return {"data": list(proxy.models.values())}
        case "POST", ["model", "new"]:
            key = body["model_info"]["id"]
            check_credential(proxy, body["litellm_params"])
            if key in proxy.models:
                raise Bad(f"Model id {key} exists")
            info = {**body["model_info"], "db_model": True, "blocked": False}
            proxy.models[key] = {**body, "model_info": info}
            return {"model_id": key, "model_name": body["model_name"], "blocked": False}
        case "PATCH", ["model", key, "update"]:
            found = named(proxy.models, key)
            check_credential(proxy, body.get("litellm_params") or {})
            found["litellm_params"].update(body.get("litellm_params") or {})
            if body.get("blocked") is not None:
                found["model_info"]["blocked"] = body["blocked"]
            return {"model_id": key, "blocked": found["model_info"]["blocked"]}
        case "GET", ["team", "info"]:
            team = named(proxy.teams, query["team_id"])
            return {"team_id": team["team_id"], "team_info": team, "keys": [], "team_memberships": []}
        case "POST", ["team", "new"]:
            proxy.add_team(body["team_id"], **{key: value for key, value in body.items() if key != "team_id"})
            return proxy.teams[body["team_id"]]
        case "POST", ["team", "update"]:
            named(proxy.teams, body["team_id"]).update(body)
            return {"team_id": body["team_id"], "data": proxy.teams[body["team_id"]]}
        case "POST", ["team", ("block" | "unblock") as verb]:
            named(proxy.teams, body["team_id"])["blocked"] = verb == "block"
            return proxy.teams[body["team_id"]]
        case "GET", ["key", "info"]:
            return {"key": query["key"], "info": named(proxy.keys, query["key"])}
        case "POST", ["key", "update"]:
            named(proxy.keys, body["key"]).update(body)
            return proxy.keys[body["key"]]
        case "GET", ["spend", "logs", "v2"]:
            return page(proxy, query)
    raise NotThere(path)


def named(found: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    if key not in found:
        raise NotThere(key)
    return found[key]


def check_credential(proxy: Proxy, params: dict[str, Any]) -> None:
    name = params.get("litellm_credential_name")
    if name is not None and name not in proxy.credentials:
        raise Bad(f"Credential '{name}' not found. Create it via /credentials before attaching it to a model.")


def page(proxy: Proxy, query: dict[str, str]) -> dict[str, Any]:
    start, end = query["start_date"], query["end_date"]
    rows = [row for row in proxy.logs if start <= row["startTime"][:19].replace("T", " ") <= end]
    rows.sort(key=lambda row: row["startTime"], reverse=True)
    number, size = int(query["page"]), int(query["page_size"])
    assert size <= 1000
    return {
        "data": rows[(number - 1) * size : number * size],
        "total": len(rows),
        "page": number,
        "page_size": size,
        "total_pages": -(-len(rows) // size),
    }


def handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def handle_call(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            status, content = 200, None
            with proxy.lock:
                if self.headers.get("Authorization") != f"Bearer {MASTER}":
                    status, content = 401, {"error": {"message": "Authentication Error", "code": "401"}}
                elif self.command != "GET" and proxy.fail_after is not None and proxy.fail_after <= 0:
                    status, content = 503, {"error": {"message": "database is not reachable", "code": "503"}}
                else:
                    if self.command != "GET":
                        proxy.calls.append((self.command, parts.path, body))
                        if proxy.fail_after is not None:
                            proxy.fail_after -= 1
                    try:
                        content = respond(proxy, self.command, unquote(parts.path), query, body)
                    except NotThere as error:
                        status, content = 404, {"detail": {"error": f"{error} not found"}}
                    except Bad as error:
                        status, content = 400, {"error": {"message": str(error), "code": "400"}}
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = handle_call

    return Handler


@contextmanager
def running() -> Iterator[tuple[str, Proxy]]:
    """The proxy's address and its state."""
    proxy = Proxy()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
