"""People, teams, channels, and real sinks on loopback: an SMTP server and an HTTP server that remember what came."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller
from pytest_django.fixtures import Settings

from attribution.actors import Actor
from attribution.models import Placement, Team
from governance.identity.permissions import actor_of_person
from governance.identity.services import create_person
from governance.models import Channel, Role, Subscription, User
from governance.notifications import channels, sealing
from tests.governance.notifications.helpers import NOW, SECRET, START, Clock, Hook, Inbox, Received


class AnyPort(Controller):
    """A mail server at a port that the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Inbox]:
    found = Inbox()
    controller = AnyPort(found, hostname="127.0.0.1", port=0)
    controller.start()
    found.port = controller.port
    settings.WEIR_SMTP_URL = f"smtp://127.0.0.1:{found.port}"
    settings.WEIR_MAIL_FROM = "Weir <weir@example.org>"
    yield found
    controller.stop()


@pytest.fixture
def hook(settings: Settings) -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.requests.append(Received(self.path, dict(self.headers), body))
            status, headers = found.answers.pop(0) if found.answers else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    settings.WEIR_ALLOW_PRIVATE_ADDRESSES = True
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teams(db: None) -> dict[str, Team]:
    made = {slug: Team.objects.create(slug=slug, name=slug.title()) for slug in ("ml", "ml-eval", "sales")}
    Placement.objects.create(team=made["ml-eval"], parent=made["ml"])
    return made


@pytest.fixture
def people(teams: dict[str, Team]) -> dict[str, User]:
    def make(name: str, role: Role, team: Team | None = None) -> User:
        return create_person(email=f"{name}@example.org", name=name, role=role, team=team, now=START)

    return {
        "owner": make("owner", Role.OWNER),
        "operator": make("operator", Role.OPERATOR),
        "viewer": make("viewer", Role.VIEWER),
        "lead": make("lead", Role.LEAD, teams["ml"]),
        "member": make("member", Role.MEMBER, teams["ml"]),
        "other": make("other", Role.LEAD, teams["sales"]),
        "outsider": User.objects.create_user("outsider@example.org", None, name="outsider"),
    }


@pytest.fixture
def actor(people: dict[str, User]) -> Callable[[str], Actor]:
    return lambda name: actor_of_person(people[name], NOW)


@pytest.fixture
def make_channel(db: None) -> Callable[..., Channel]:
    """A channel with a general subscription, as the service makes it."""

    def make(kind: str, address: str, team: str | None = None, name: str = "", **wants: object) -> Channel:
        normal, hint = channels.checked(kind, address)
        kept = json.dumps([{"secret": SECRET, "until": None}])
        channel = Channel.objects.create(
            name=name or f"the {kind}",
            kind=kind,
            team=team,
            sealed=sealing.seal(normal),
            signing=sealing.seal(kept) if kind == "webhook" else "",
            hint=hint,
            created_by="test",
            created_at=START,
        )
        Subscription.objects.create(channel=channel, **wants)
        return channel

    return make
