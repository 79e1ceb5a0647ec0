"""The protocol over one Envoy: plans are files, proof is what its admin interface and its access log say."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from routing import desired as snapshots
from routing.desired import DesiredState, Difference, Problem, Route, Tier, from_plain, to_plain
from routing.drift import prove
from routing.orchestrators.base import (
    Atomic,
    Capabilities,
    Conflict,
    Observed,
    ObservedSplit,
    OrchestratorError,
    Plan,
    Proof,
    QuotaKind,
    Receipt,
    Refused,
    Stale,
    Step,
    Unreachable,
    Unsupported,
    Usage,
)
from routing.orchestrators.envoy import access_log, admin, folder, render
from routing.orchestrators.envoy.access_log import LogFiles
from routing.orchestrators.envoy.binary import envoy_binary
from routing.orchestrators.envoy.bootstrap import Layout, bootstrap, candidate, keys_document
from routing.orchestrators.envoy.folder import Journal, Written
from routing.orchestrators.envoy.render import Resource

# Files are read within milliseconds; the rest is a machine that is busy.
PROPAGATION = timedelta(seconds=2)
# A look at the traffic reads no more than this: a change that nothing proves costs little, however long it waits.
PROVED_WITHIN, NEWEST_BYTES = timedelta(minutes=10), 16 << 20
# How long a push waits until clusters are there before it lets routes name them.
_TOPOLOGY_WAIT_SECONDS = 5.0
_VALIDATE_TIMEOUT_SECONDS = 20.0

CAPABILITIES = Capabilities(
    atomic=Atomic.ROUTE,
    cas=True,
    weight_step_ppm=1,
    propagation=PROPAGATION,
    quotas=frozenset(QuotaKind),
    renames_model=True,
    exact_split=True,
    absent=(
        (
            "credentials per target",
            "all targets of a model get the caller's request as it is; Envoy would need a hop of its own per provider",
        ),
        (
            "dialects per target",
            "requests are passed on in OpenAI's format; a provider with another one needs a gateway in front of it",
        ),
        (
            "hashed API keys",
            "Envoy 1.40 compares keys as they are: they stand in xds/keys.json (mode 600)",
        ),
        ("exact token quotas", "tokens a minute are charged before the answer, by the request's max_tokens (else 256)"),
        ("quotas over several Envoys", "each Envoy counts by itself"),
    ),
)


def open_envoy(name: str, settings: Mapping[str, Any]) -> "EnvoyOrchestrator":
    """settings: folder, listen ("host:port"), admin ("host:port" or the path of a socket)."""
    missing = [each for each in ("folder", "listen", "admin") if not settings.get(each)]
    if missing:
        raise Refused(f"the settings of {name} lack {', '.join(missing)}")
    host, _, port = str(settings["listen"]).rpartition(":")
    if not host or not port.isdigit():
        raise Refused(f"listen is {settings['listen']!r}: write host:port")
    return EnvoyOrchestrator(name, Layout(Path(settings["folder"]), host, int(port), str(settings["admin"])))


class EnvoyOrchestrator:
    """One Envoy and its folder."""

    def __init__(self, name: str, layout: Layout) -> None:
        self.name = name
        self.layout = layout

    def prepare(self, keys: Mapping[str, str]) -> None:
        """Make the folder so that Envoy can start: it refuses everybody until a snapshot is pushed.

        keys: client ("team|key name") -> secret. Safe to repeat: what was pushed stays, the keys are replaced.
        """
        for path in (self.layout.xds, self.layout.log.parent):
            path.mkdir(parents=True, exist_ok=True)
        self.layout.xds.chmod(0o700)
        with folder.locked(self.layout.xds):
            text = json.dumps(bootstrap(self.layout), sort_keys=True, indent=1) + "\n"
            folder.write_atomically(self.layout.bootstrap, text.encode())
            version = f"keys-{folder.digest_of(json.dumps(sorted(keys)).encode())[:12]}"
            folder.write_atomically(self.layout.xds / "keys.json", keys_document(keys, version), mode=0o600)
            if folder.read_journal(self.layout.xds).files or (self.layout.xds / "cds.json").exists():
                return
            empty = DesiredState(self.name, 0)
            written = {}
            for each in render.render(empty, str(self.layout.xds)).values():
                written[each.name] = self._write(each, f"0-{each.digest()}")
            folder.write_journal(self.layout.xds, Journal(0, empty.key(), to_plain(empty), written))

    def command(self, *, concurrency: int = 1) -> list[str]:
        """How to start it, after `prepare`. The log is flushed each half second: telemetry waits for it."""
        return [
            str(envoy_binary()),
            *("-c", str(self.layout.bootstrap), "--concurrency", str(concurrency), "--use-dynamic-base-id"),
            *("--log-level", "warning", "--file-flush-interval-msec", "500", "--drain-time-s", "2"),
            *("--parent-shutdown-time-s", "3"),
        ]

    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def observe(self) -> Observed:
        journal = folder.read_journal(self.layout.xds)
        files = folder.read_files(self.layout.xds)
        found = _compare(journal, files)
        state, foreign, versions = None, found.foreign, found.versions
        if journal.state is not None and journal.generation > 0:
            state = from_plain(journal.state, orchestrator=self.name, generation=journal.generation)
            state, foreign = _with_edits(state, found)
        observed = Observed(state, journal.generation or None, versions, foreign=tuple(foreign))
        try:
            running = admin.read_running(self.layout.admin)
        except Unreachable:
            return replace(observed, reachable=False)
        live = {name: _as_named(running.versions.get(_stat_name(name), ""), at) for name, at in versions.items()}
        behind = any(live[name] != version for name, version in versions.items())
        return replace(
            observed,
            live=live,
            rejected=running.rejections if behind else (),
            ejected=_ejected_targets(state, running),
        )

    def plan(self, desired: DesiredState, observed: Observed, *, force: bool = False) -> Plan:
        self._check(desired, observed)
        if observed.foreign and not force:
            words = "; ".join(each.words for each in observed.foreign[:3])
            raise Conflict(f"someone else changed the files: {words}. Decide what stays first", observed.foreign)
        wanted = render.render(desired, str(self.layout.xds))
        versions = _wanted_versions(wanted, observed.versions, desired.generation)
        changed = [wanted[name] for name, version in versions.items() if observed.versions.get(name) != version]
        before = observed.state
        return Plan(
            desired=desired,
            before=before,
            steps=(
                *_strays(observed.foreign),
                *_steps(changed, versions, before, desired, str(self.layout.xds)),
            ),
            differences=tuple(snapshots.diff(before, desired)),
            expected=dict(observed.versions),
            overwrites=observed.foreign,
        )

    def validate(self, plan: Plan) -> list[Problem]:
        """Envoy itself reads the whole candidate, with everything inline, and starts nothing."""
        found = [*snapshots.problems(plan.desired), *render.problems(plan.desired)]
        if found:
            return found
        documents: dict[str, Any] = {
            name: json.loads(each.document("dry-run"))
            for name, each in render.render(plan.desired, str(self.layout.xds)).items()
        }
        # The real keys are no part of a plan, and must not stand in an error's words.
        documents["keys"] = json.loads(keys_document({"dry|run": "dry-run"}, "dry-run"))
        with tempfile.TemporaryDirectory(prefix="weir-dry-run-") as scratch:
            place = replace(self.layout, folder=Path(scratch), admin="127.0.0.1:0")
            (Path(scratch) / "log").mkdir()
            path = Path(scratch) / "candidate.json"
            path.write_text(json.dumps(candidate(place, documents)), encoding="utf-8")
            words = _dry_run(path)
        return [Problem("envoy", words)] if words else []

    def apply(self, plan: Plan, *, now: datetime) -> Receipt:
        self.layout.xds.mkdir(parents=True, exist_ok=True)
        with folder.locked(self.layout.xds):
            folder.remove_partials(self.layout.xds)
            journal = folder.read_journal(self.layout.xds)
            found = _compare(journal, folder.read_files(self.layout.xds))
            final = _final_versions(plan)
            done = journal.key == plan.key and journal.pending is None and not found.foreign
            if done and found.versions == final:
                return _receipt(plan, now, final, repeated=True)
            _refuse_conflicts(plan, journal, found, final)
            written = self._carry_out(plan, journal, final)
            state = to_plain(plan.desired)
            folder.write_journal(self.layout.xds, Journal(plan.desired.generation, plan.key, state, written))
            return _receipt(plan, now, {name: each.version for name, each in written.items()})

    def verify(
        self, receipt: Receipt, desired: DesiredState, *, before: DesiredState | None = None, now: datetime
    ) -> Proof:
        observed = self.observe()
        if now <= receipt.applied_at + PROPAGATION:
            # What it refused may be an earlier push: it says so until it has read this one.
            observed = replace(observed, rejected=())
        since = max(receipt.applied_at + PROPAGATION, now - PROVED_WITHIN)
        files = LogFiles(self.layout.log)
        split = access_log.observed_split(files, since, now=now, newest_bytes=NEWEST_BYTES) if now > since else None
        return prove(
            receipt=receipt,
            desired=desired,
            before=before,
            observed=observed,
            capabilities=CAPABILITIES,
            split=split,
            now=now,
        )

    def rollback(self, receipt: Receipt, earlier: DesiredState, *, now: datetime) -> Receipt:
        observed = self.observe()
        if observed.state is None or observed.state.digest() != receipt.digest:
            raise Conflict(
                "it no longer holds what this receipt is for: decide from what is observed", observed.foreign
            )
        return self.apply(self.plan(earlier, observed), now=now)

    def read_usage(self, cursor: str, *, limit: int = 5000) -> Usage:
        return access_log.read_usage(LogFiles(self.layout.log), cursor, limit=limit)

    def observed_split(self, since: datetime, *, now: datetime) -> ObservedSplit:
        return access_log.observed_split(LogFiles(self.layout.log), since, now=now)

    def rotate_log(self, *, now: datetime, largest_bytes: int = 64 << 20, keep: int = 3) -> bool:
        """Begin a new log file when the current one is large; the oldest of more than `keep` old ones goes."""
        return access_log.rotate(
            LogFiles(self.layout.log),
            now=now,
            largest_bytes=largest_bytes,
            keep=keep,
            reopen=lambda: admin.reopen_logs(self.layout.admin),
        )

    def _check(self, desired: DesiredState, observed: Observed) -> None:
        found = snapshots.problems(desired)
        if found:
            raise Refused("; ".join(f"{each.subject}: {each.words}" for each in found[:3]))
        absent = render.problems(desired)
        if absent:
            raise Unsupported("; ".join(f"{each.subject}: {each.words}" for each in absent[:3]))
        held = observed.generation or 0
        same = observed.state is not None and observed.state.digest() == desired.digest()
        if desired.generation < held or (desired.generation == held and not same):
            raise Stale(f"it holds generation {held}: generation {desired.generation} comes too late")

    def _carry_out(self, plan: Plan, journal: Journal, final: Mapping[str, str]) -> dict[str, Written]:
        """The steps in order, behind a journal that names what they write. Files that stay keep their entry."""
        resources = {number: _resource(step) for number, step in enumerate(plan.steps) if step.method == "PUT"}
        pending = {
            f"{number}/{each.name}": _as_written(each, str(plan.steps[number].body["version"]))
            for number, each in resources.items()
        }
        # One file is swapped at once and says itself whose it is: weights need not wait for a second write.
        if len(plan.steps) > 1:
            folder.write_journal(self.layout.xds, replace(journal, pending=pending))
        written = {name: each for name, each in journal.files.items() if name in final}
        for number, step in enumerate(plan.steps):
            if step.method == "DELETE":
                (self.layout.xds / str(step.body["file"])).unlink(missing_ok=True)
                continue
            version = str(step.body["version"])
            written[step.resource] = self._write(resources[number], version)
            self._wait_until_live(dict(step.body["wait"]))
        folder.sync_folder(self.layout.xds)
        return written

    def _write(self, each: Resource, version: str) -> Written:
        content = each.document(version)
        folder.write_atomically(self.layout.xds / each.file, content)
        return Written(each.file, version, folder.digest_of(content))

    def _wait_until_live(self, versions: Mapping[str, str]) -> None:
        """Clusters before the routes that name them, routes before their clusters go. An Envoy that is down reads all
        of them in the right order when it starts; one that refuses is seen by `verify`."""
        wanted = {_stat_name(name): version for name, version in versions.items()}
        deadline = time.monotonic() + _TOPOLOGY_WAIT_SECONDS
        with contextlib.suppress(Unreachable):
            while wanted and time.monotonic() < deadline:
                running = admin.live_versions(self.layout.admin, frozenset(wanted))
                # Its main thread has it; each worker gets it a moment later.
                time.sleep(0.02)
                if {name: _as_named(each, wanted[name]) for name, each in running.items()} == wanted:
                    return


@dataclass(frozen=True)
class _Found:
    """The folder against the journal: versions by resource, what is foreign, and foreign contents by file."""

    versions: dict[str, str]
    foreign: list[Difference]
    theirs: dict[str, bytes]


def _compare(journal: Journal, files: Mapping[str, bytes]) -> _Found:
    known: dict[tuple[str, str], str] = {}
    resource_of: dict[str, str] = {}
    for label, each in [*journal.files.items(), *(journal.pending or {}).items()]:
        known[each.file, each.sha256] = each.version
        resource_of[each.file] = label.partition("/")[2] if label[:1].isdigit() else label
    ours = {each.file: each.version for each in journal.files.values()}
    found = _Found({}, [], {})
    for name, content in files.items():
        digest = folder.digest_of(content)
        resource = resource_of.get(name)
        if resource is None:
            words = f"{name} is a file that nobody of ours wrote"
            found.foreign.append(Difference("file", name, None, digest[:12], words))
            continue
        version = known.get((name, digest)) or _ours_unfinished(name, content, journal.generation)
        found.versions[resource] = version or f"foreign-{digest[:12]}"
        if version is None:
            words = f"{name} was changed by someone else"
            found.foreign.append(Difference("file", name, ours.get(name), digest[:12], words))
            found.theirs[name] = content
    for resource, each in journal.files.items():
        # A push that was cut off may have removed it already.
        if each.file not in files and journal.pending is None:
            words = f"{each.file} was deleted by someone else"
            found.foreign.append(Difference("file", each.file, each.version, None, words))
            found.versions[resource] = "missing"
    return found


def _ours_unfinished(name: str, content: bytes, generation: int) -> str | None:
    """The version of a file that a push of one file wrote before it was killed: later than what the journal knows, and
    its version holds the digest of its content, which a hand does not get right by accident."""
    try:
        plain = json.loads(content)
        version = str(plain["version_info"])
        resource = Resource("", name, str(plain["type_url"]), tuple(plain["resources"]))
        later = int(version.partition("-")[0]) > generation
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return version if later and version.partition("-")[2] == resource.digest() else None


def _with_edits(state: DesiredState, found: _Found) -> tuple[DesiredState, list[Difference]]:
    """The snapshot with foreign weights put in, so that a page can show wanted beside observed; all that is foreign,
    weights named as such."""
    edits: list[Difference] = []
    explained: set[str] = set()
    routes = []
    for route in state.routes:
        content = found.theirs.get(render.eds_file(route))
        tiers = None if content is None else _read_tiers(content)
        if tiers is None:
            routes.append(route)
            continue
        changed = replace(route, tiers=tiers)
        differences = snapshots.diff(replace(state, routes=(route,)), replace(state, routes=(changed,)))
        if differences:
            explained.add(render.eds_file(route))
        edits += [replace(each, words=f"changed by someone else: {each.words}") for each in differences]
        routes.append(changed)
    rest = [each for each in found.foreign if each.subject not in explained]
    return replace(state, routes=tuple(routes)), rest + edits


def _read_tiers(content: bytes) -> tuple[Tier, ...] | None:
    try:
        return tuple(Tier.of(weights) for weights in render.read_weights(json.loads(content)))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _refuse_conflicts(plan: Plan, journal: Journal, found: _Found, final: Mapping[str, str]) -> None:
    """Every file is what the plan saw, or already what it writes: then it is a repeat after a crash."""
    generation = plan.desired.generation
    if journal.generation > generation or (journal.generation == generation and journal.key != plan.key):
        raise Stale(f"it holds generation {journal.generation} by now: plan anew")
    decided = {(each.kind, each.subject, each.after) for each in plan.overwrites}
    files = {each.subject for each in plan.overwrites if each.kind == "file"}
    unseen = [each for each in found.foreign if each.subject not in files and not decided]
    if unseen:
        raise Conflict(f"someone else changed the files: {unseen[0].words}", unseen)
    between = {str(each.body["version"]) for each in plan.steps if each.resource == "cds"}
    for name in sorted(plan.expected.keys() | found.versions.keys()):
        seen, start = found.versions.get(name), plan.expected.get(name)
        if seen in (start, final.get(name)) or (name == "cds" and seen in between):
            continue
        raise Conflict(f"{name} is at {seen or 'nothing'}, the plan starts from {start or 'nothing'}: plan anew")


def _as_named(running: str, written: str) -> str:
    """`written` when the same content runs under an earlier generation: Envoy does not take equal content again."""
    return written if running.partition("-")[2] == written.partition("-")[2] else running


def _stat_name(resource: str) -> str:
    """A cluster's name in Envoy's statistics has its colons replaced."""
    return resource.replace(":", "_") if resource.startswith("eds/") else resource


def _ejected_targets(state: DesiredState | None, running: admin.Running) -> frozenset[str]:
    addresses = {address for _cluster, address in running.ejected}
    targets = () if state is None else state.targets
    return frozenset(each.name for each in targets if _address(each.endpoint) in addresses)


def _address(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _wanted_versions(wanted: Mapping[str, Resource], current: Mapping[str, str], generation: int) -> dict[str, str]:
    """A resource whose content stays keeps the version under which it was written: it is not written again."""
    found = {}
    for name, each in wanted.items():
        digest = each.digest()
        held = current.get(name, "")
        found[name] = (
            held if held.partition("-")[2] == digest and not held.startswith("foreign") else f"{generation}-{digest}"
        )
    return found


def _steps(
    changed: list[Resource],
    versions: Mapping[str, str],
    before: DesiredState | None,
    desired: DesiredState,
    place: str,
) -> Iterator[Step]:
    """Weights and new clusters, then routes, then what nobody names any more goes."""
    by_name = {each.name: each for each in changed}
    gone = _gone(before, desired)
    for name in sorted(name for name in by_name if name.startswith("eds/")):
        yield _put(by_name[name], versions[name], f"weights of {name[4:]}")
    if "ecds" in by_name:
        yield _put(by_name["ecds"], versions["ecds"], "quotas")
    if "cds" in by_name:
        both, version, words = by_name["cds"], versions["cds"], "clusters"
        if gone and before is not None:
            both = replace(both, bodies=both.bodies + tuple(render.cluster(before, each, place) for each in gone))
            version, words = f"{desired.generation}-{both.digest()}", "clusters, with those that will go"
        wait = {"cds": version, **{name: versions[name] for name in by_name if name.startswith("eds/")}}
        yield _put(both, version, words, wait=wait)
    if "rds" in by_name:
        yield _put(by_name["rds"], versions["rds"], "routes, blocks", wait={"rds": versions["rds"]} if gone else {})
    if "cds" in by_name and gone:
        yield _put(by_name["cds"], versions["cds"], "clusters without those that went")
    for route in gone:
        if before is not None and render.uses_eds(before, route):
            name = render.cluster_name(route)
            yield Step(f"eds/{name}", f"remove the weights of {name}", {"file": render.eds_file(route)}, "DELETE")


def _strays(foreign: Iterable[Difference]) -> Iterator[Step]:
    """Files that nobody of ours wrote, when a person decided that they go."""
    for each in foreign:
        if each.kind == "file" and each.before is None:
            yield Step(
                each.subject, f"remove {each.subject}, which someone else wrote", {"file": each.subject}, "DELETE"
            )


def _gone(before: DesiredState | None, desired: DesiredState) -> list[Route]:
    kept = {render.cluster_name(each) for each in desired.routes}
    return [] if before is None else [each for each in before.routes if render.cluster_name(each) not in kept]


def _put(each: Resource, version: str, words: str, *, wait: Mapping[str, str] | None = None) -> Step:
    body = {
        "file": each.file,
        "version": version,
        "type_url": each.type_url,
        "resources": list(each.bodies),
        "wait": dict(wait or {}),
    }
    return Step(each.name, f"write {words} ({each.file})", body)


def _resource(step: Step) -> Resource:
    body = step.body
    return Resource(step.resource, str(body["file"]), str(body["type_url"]), tuple(body["resources"]))


def _as_written(each: Resource, version: str) -> Written:
    return Written(each.file, version, folder.digest_of(each.document(version)))


def _final_versions(plan: Plan) -> dict[str, str]:
    """By resource, when all steps are done."""
    versions = dict(plan.expected)
    for step in plan.steps:
        if step.method == "DELETE":
            versions.pop(step.resource, None)
        else:
            versions[step.resource] = str(step.body["version"])
    return versions


def _receipt(plan: Plan, now: datetime, versions: Mapping[str, str], *, repeated: bool = False) -> Receipt:
    desired = plan.desired
    return Receipt(plan.key, desired.orchestrator, desired.generation, desired.digest(), now, dict(versions), repeated)


def _dry_run(path: Path) -> str:
    """Envoy's own words about a candidate; empty when it takes it. Raises OrchestratorError when it can't be asked."""
    command = [
        str(envoy_binary()),
        "--mode",
        "validate",
        "-c",
        str(path),
        "--log-level",
        "error",
        "--use-dynamic-base-id",
    ]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_VALIDATE_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OrchestratorError(f"the dry run did not end ({error})") from error
    if done.returncode == 0:
        return ""
    return _shortened(done.stderr.decode("utf-8", "replace")) or f"envoy ended with {done.returncode}"


def _shortened(text: str) -> str:
    """The last error without the whole configuration that Envoy may print after it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return (lines[-1] if lines else "").partition(': {"')[0][-600:]
