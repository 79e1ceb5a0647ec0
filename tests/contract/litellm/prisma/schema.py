"""The proxy's own schema.prisma, as far as rows need it: fields, types, defaults, keys, relations."""

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

SCALARS = {"String", "Int", "BigInt", "Float", "Boolean", "DateTime", "Json", "Bytes", "Decimal"}
_MODEL = re.compile(r"^model (\w+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+)\s+(\w+)(\[\])?(\?)?(.*)$")


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    is_list: bool
    optional: bool
    attributes: str

    @property
    def column(self) -> str:
        named = re.search(r'@map\("([^"]+)"\)', self.attributes)
        return named[1] if named else self.name

    @property
    def makes_uuid(self) -> bool:
        return "@default(uuid())" in self.attributes or "@default(cuid())" in self.attributes

    @property
    def touches(self) -> bool:
        return "@updatedAt" in self.attributes

    @property
    def joins(self) -> tuple[list[str], list[str]]:
        """Own columns and the other's, where this side holds the key."""
        found = re.search(r"fields: \[([^\]]*)\], references: \[([^\]]*)\]", self.attributes)
        return tuple([part.strip() for part in each.split(",")] for each in found.groups()) if found else ([], [])


@dataclass
class Model:
    name: str
    table: str
    fields: dict[str, Field] = field(default_factory=dict)
    keys: list[list[str]] = field(default_factory=list)

    @property
    def scalars(self) -> dict[str, Field]:
        return {name: each for name, each in self.fields.items() if each.type not in models()}


def _source() -> str:
    spec = find_spec("litellm")
    assert spec is not None
    return (Path(str(spec.origin)).parent / "proxy" / "schema.prisma").read_text()


@cache
def models() -> dict[str, Model]:
    found: dict[str, Model] = {}
    for name, body in _MODEL.findall(_source()):
        mapped = re.search(r'@@map\("([^"]+)"\)', body)
        made = found[name] = Model(name, mapped[1] if mapped else name)
        for line in body.splitlines():
            line = line.split("//")[0].rstrip()
            if line.strip().startswith("@@"):
                keys = re.match(r"\s*@@(?:id|unique)\(\[([^\]]*)\]", line)
                if keys:
                    made.keys.append([part.strip() for part in keys[1].split(",")])
                continue
            matched = _FIELD.match(line)
            if matched:
                one = Field(matched[1], matched[2], bool(matched[3]), bool(matched[4]), matched[5])
                made.fields[one.name] = one
                if "@id" in one.attributes or "@unique" in one.attributes:
                    made.keys.append([one.name])
    return found
