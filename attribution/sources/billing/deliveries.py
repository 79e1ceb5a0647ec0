"""Paths into the files of a delivery. A folder with AWS or Azure manifests gives the files of the newest run of each
export and month, and nothing else; a folder without gives all its files; a file gives itself.

Source: AWS "Data Exports delivery" and "Legacy CUR manifest"; Azure Cost Management exports, manifest 2024-04-01. Keys
are read leniently: layouts differ between versions, and only what the manifest lists is trusted.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import UnreadableFile

_EXECUTION = re.compile(r"\d{8}T\d{6}Z.*")
_LEGACY_PERIOD = re.compile(r"(\d{4})(\d{2})\d{2}T?.*")
_MONTH = re.compile(r"(\d{4})-(\d{2}).*")
MANIFEST_BYTES = 16 << 20
_AZURE_SIDES = ("ActualCost", "AmortizedCost")


@dataclass(frozen=True)
class PlannedFile:
    """One file to read. shown: the path as the operator named it. scope: '' = the default of each row.

    bytes_listed, rows_listed: what the manifest says; None where it doesn't. hint: what it calls the export.
    """

    path: Path
    shown: str
    scope: str = ""
    bytes_listed: int | None = None
    rows_listed: int | None = None
    hint: str = ""


@dataclass(frozen=True)
class Plan:
    """What a command reads, and the files below its folders that a manifest made obsolete."""

    files: tuple[PlannedFile, ...]
    passed_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Listed:
    name: str
    size: int | None
    rows: int | None


@dataclass(frozen=True)
class _Manifest:
    """One run of one export for one month. age: later sorts higher. side: which, of a bill in two exports."""

    path: Path
    scope: str
    period: str
    age: tuple[str, int]
    listed: tuple[_Listed, ...]
    side: str = ""


def plan(paths: Iterable[str], scope: str = "") -> Plan:
    """The files that `paths` mean. Raises UnreadableFile: a path isn't there, or a manifest doesn't hold."""
    files: list[PlannedFile] = []
    passed_over: list[str] = []
    for text in paths:
        path = Path(text)
        if path.is_dir():
            chosen, left = _folder(path, scope)
            files += chosen
            passed_over += left
        elif path.exists():
            files.append(PlannedFile(path, text, scope))
        else:
            raise UnreadableFile(text, "isn't there", "Check the path")
    unique = {one.path.resolve(): one for one in reversed(files)}
    return Plan(tuple(one for one in files if unique[one.path.resolve()] is one), tuple(passed_over))


def _folder(folder: Path, scope: str) -> tuple[list[PlannedFile], list[str]]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    manifests = [manifest for path in found if _is_manifest(path) for manifest in _read(path, folder)]
    data = [path for path in found if not _is_manifest(path)]
    if not manifests:
        if not data:
            raise UnreadableFile(str(folder), "has no files", "Name the folder that holds the export")
        return [PlannedFile(path, str(path), scope) for path in data], []
    newest: dict[tuple[str, str, str], _Manifest] = {}
    for manifest in sorted(manifests, key=lambda one: (one.age, str(one.path))):
        newest[manifest.scope, manifest.side, manifest.period] = manifest
    chosen = [
        _locate(manifest, listed, data, folder, scope)
        for _, manifest in sorted(newest.items())
        for listed in manifest.listed
    ]
    taken = {one.path for one in chosen}
    left = [path for path in data if path not in taken]
    governed = _governed(manifests, chosen, folder)
    loose = [path for path in left if not governed(path)]
    chosen += [PlannedFile(path, str(path), scope) for path in loose]
    return chosen, [str(path) for path in left if path not in loose]


def _governed(manifests: list[_Manifest], chosen: list[PlannedFile], folder: Path) -> Callable[[Path], bool]:
    """Whether a file lies where manifests decide what counts: below an export's own folder, or in a part of `folder`
    that has a manifest. Anything else (another cloud's files beside an export) is a loose file.
    """
    tops = {manifest.path.relative_to(folder).parts[0] for manifest in manifests}
    homes: dict[str, Path] = {}
    for scope, path in [(m.scope, m.path) for m in manifests] + [(one.scope, one.path) for one in chosen]:
        known = homes.get(scope, path.parent)
        homes[scope] = next(parent for parent in (known, *known.parents) if path.is_relative_to(parent))

    def is_governed(path: Path) -> bool:
        return path.relative_to(folder).parts[0] in tops or any(path.is_relative_to(home) for home in homes.values())

    return is_governed


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _is_manifest(path: Path) -> bool:
    return path.name == "manifest.json" or path.name.endswith("-Manifest.json")


def _read(path: Path, folder: Path) -> Iterator[_Manifest]:
    """The manifest in a file, or nothing when the JSON is something else."""
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise ValueError(f"larger than {MANIFEST_BYTES >> 20} MiB")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("not an object")
        if "blobs" in content:
            yield _azure(path, content)
        elif "dataFiles" in content:
            yield _aws(path, content, folder)
        elif "reportKeys" in content:
            yield _legacy(path, content, folder)
        else:
            raise ValueError("it lists no files (blobs, dataFiles or reportKeys)")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"is no manifest that Weir knows ({error})"
        raise UnreadableFile(str(path), why, "Fetch it again; an export writes it last") from error


def _azure(path: Path, content: dict[str, Any]) -> _Manifest:
    export, run = content["exportConfig"], content["runInfo"]
    # Names of the blobs lack the container; startDate is the month's first day.
    listed = tuple(
        _Listed(blob["blobName"], _count(blob.get("byteCount")), _count(blob.get("dataRowCount")))
        for blob in content["blobs"]
    )
    scope, side = str(export["resourceId"]), ""
    if export.get("type") in _AZURE_SIDES:
        # Actual and amortised are two exports, each with its own name, of one bill: one scope, so that they are merged.
        scope, side = f"{scope.rsplit('/', 1)[0]}/cost", export["type"]
    return _Manifest(path, scope, _month(run["startDate"]), (str(run["submittedTime"]), 0), listed, side)


def _aws(path: Path, content: dict[str, Any], folder: Path) -> _Manifest:
    listed = tuple(
        _Listed(entry, None, None)
        if isinstance(entry, str)
        else _Listed(entry["s3Uri"], _count(entry.get("size")), _count(entry.get("rowCount")))
        for entry in content["dataFiles"]
    )
    period = content.get("billingPeriod") or next(
        part.split("=", 1)[1] for part in path.parts if part.startswith("BILLING_PERIOD=")
    )
    where = next((one.name for one in listed if "/data/" in one.name), None)
    name = str(content.get("exportName") or path.name.removesuffix("-Manifest.json"))
    scope = "aws/" + (where.split("/data/")[0].removeprefix("s3://") if where else name)
    execution = str(content.get("executionId", ""))
    # An execution's name starts with its time; where it doesn't, the copy nearest the top is the current one.
    age = execution if _EXECUTION.fullmatch(execution) else ""
    return _Manifest(path, scope, _month(str(period)), (age, -len(path.relative_to(folder).parts)), listed)


def _legacy(path: Path, content: dict[str, Any], folder: Path) -> _Manifest:
    start = _LEGACY_PERIOD.fullmatch(str(content["billingPeriod"]["start"]))
    if start is None:
        raise ValueError("billingPeriod.start is no date")
    keys = [str(key).lstrip("/") for key in content["reportKeys"]]
    name = content.get("reportName") or path.name.removesuffix("-Manifest.json")
    prefix = re.split(r"/\d{8}-\d{8}/", keys[0])[0] if keys else ""
    scope = "/".join(part for part in ("aws", str(content.get("bucket") or ""), prefix or str(name)) if part)
    listed = tuple(_Listed(key, None, None) for key in keys)
    # The manifest beside the assemblies' folders is the current one; each folder keeps a copy of its own.
    depth = -len(path.relative_to(folder).parts)
    return _Manifest(path, scope, f"{start[1]}-{start[2]}", ("", depth), listed)


def _count(value: object) -> int | None:
    return int(str(value)) if value is not None else None


def _month(text: str) -> str:
    match = _MONTH.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no month")
    return f"{match[1]}-{match[2]}"


def _locate(manifest: _Manifest, listed: _Listed, data: list[Path], folder: Path, scope: str) -> PlannedFile:
    """The listed file below the folder: the one whose path ends in the most parts of the listed name."""
    wanted = [part for part in listed.name.split("/") if part]
    best: list[Path] = []
    most = 0
    for path in data:
        parts = path.relative_to(folder).parts
        same = 0
        while same < min(len(parts), len(wanted)) and parts[-1 - same] == wanted[-1 - same]:
            same += 1
        if same > most:
            best, most = [path], same
        elif same == most and same:
            best.append(path)
    if len(best) != 1:
        what = "isn't there" if not best else f"could be {len(best)} files"
        raise UnreadableFile(str(manifest.path), f"lists {listed.name}, which {what}", "Fetch the whole export again")
    size = best[0].stat().st_size
    if listed.size is not None and listed.size != size:
        why = f"lists {listed.name} with {listed.size} bytes, but the file has {size}"
        raise UnreadableFile(str(manifest.path), why, "Fetch the file again")
    return PlannedFile(best[0], str(best[0]), scope or manifest.scope, listed.size, listed.rows, manifest.side)
