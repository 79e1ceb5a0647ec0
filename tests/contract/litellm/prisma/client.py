"""The client: tables by name, raw statements, transactions, batches."""

import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import asyncpg

from . import errors
from . import models as row_models
from .schema import Field, Model, models


class Json:
    """A value to store as JSON."""

    def __init__(self, data: Any) -> None:
        self.data = data

    @classmethod
    def keys(cls, **data: Any) -> "Json":
        return cls(data)


class Statement:
    """A statement under way: its parameters are numbered as they come."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def put(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def stored(field: Field, value: Any) -> Any:
    """`value` as asyncpg wants it."""
    if isinstance(value, Json):
        value = value.data
        return value if isinstance(value, str) else json.dumps(value, default=str)
    if field.type == "Json" and not field.is_list:
        return value if value is None or isinstance(value, str) else json.dumps(value, default=str)
    if field.type == "DateTime" and isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, datetime):
        # The columns have no zone; they hold UTC.
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if field.type in ("Int", "BigInt") and isinstance(value, float | str):
        return int(value)
    if field.type == "Float" and value is not None and not field.is_list:
        return float(value)
    if field.type == "String" and not field.is_list and value is not None and not isinstance(value, str):
        return str(value)
    return value


def read(field: Field, value: Any) -> Any:
    if value is None:
        return [] if field.is_list else None
    if field.type == "DateTime" and isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return value


OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


class Where:
    """A `where` as SQL over one table's alias."""

    def __init__(self, model: Model, statement: Statement) -> None:
        self.model, self.statement = model, statement

    def all(self, where: Mapping[str, Any] | None) -> str:
        parts = [self.one(name, value) for name, value in (where or {}).items()]
        return " and ".join(f"({each})" for each in parts if each) or "true"

    def one(self, name: str, value: Any) -> str:
        if name in ("AND", "OR", "NOT"):
            given = value if isinstance(value, list) else [value]
            joined = (" or " if name == "OR" else " and ").join(f"({self.all(each)})" for each in given)
            if not given:
                return "false" if name == "OR" else ""
            return f"not ({joined})" if name == "NOT" else joined
        field = self.model.fields.get(name)
        if field is None:
            # A key of several columns: "user_id_team_id": {"user_id": ..., "team_id": ...}.
            return self.all(value)
        if field.type in models():
            return self.related(field, value)
        return self.scalar(field, value)

    def related(self, field: Field, value: Mapping[str, Any]) -> str:
        other = models()[field.type]
        own, theirs = field.joins
        if not own:
            back = next(each for each in other.fields.values() if each.type == self.model.name and each.joins[0])
            theirs, own = back.joins
        alias = f"t{len(self.statement.values)}_{field.name}"
        inner = value.get("some") or value.get("is") or value.get("none") or value
        condition = Where(other, self.statement).all(inner).replace("this.", f"{alias}.")
        joined = " and ".join(
            f"{alias}.{quoted(other.fields[b].column)} = this.{quoted(self.model.fields[a].column)}"
            for a, b in zip(own, theirs, strict=True)
        )
        sql = f"exists (select 1 from {quoted(other.table)} {alias} where {joined} and {condition})"
        return f"not {sql}" if "none" in value else sql

    def scalar(self, field: Field, value: Any) -> str:
        column = f"this.{quoted(field.column)}"
        if not isinstance(value, Mapping):
            if value is None:
                return f"{column} is null"
            return f"{column} = {self.put(field, value)}"
        parts = [self.operator(field, column, name, given, value.get("mode")) for name, given in value.items()]
        return " and ".join(each for each in parts if each)

    def operator(self, field: Field, column: str, name: str, given: Any, mode: str | None) -> str:
        like = "ilike" if mode == "insensitive" else "like"
        match name:
            case "mode" | "path":
                return ""
            case "equals":
                return f"{column} is null" if given is None else f"{column} = {self.put(field, given)}"
            case "not":
                if given is None:
                    return f"{column} is not null"
                if isinstance(given, Mapping):
                    return f"not ({self.scalar(field, given)})"
                return f"{column} <> {self.put(field, given)}"
            case "in" | "not_in" | "notIn":
                if not given:
                    return "false" if name == "in" else "true"
                listed = ", ".join(self.put(field, each) for each in given)
                return f"{column} {'in' if name == 'in' else 'not in'} ({listed})"
            case "contains":
                return f"{column} {like} '%' || {self.put(field, given)} || '%'"
            case "startsWith" | "startswith":
                return f"{column} {like} {self.put(field, given)} || '%'"
            case "endsWith" | "endswith":
                return f"{column} {like} '%' || {self.put(field, given)}"
            case "has":
                return f"{self.statement.put(given)} = any({column})"
            case "hasSome" | "has_some":
                return f"{column} && {self.statement.put(list(given))}"
            case "hasEvery" | "has_every":
                return f"{column} @> {self.statement.put(list(given))}"
            case "is_empty" | "isEmpty":
                return f"cardinality({column}) = 0" if given else f"cardinality({column}) > 0"
            case _ if name in OPERATORS:
                return f"{column} {OPERATORS[name]} {self.put(field, given)}"
        raise errors.InputError(f"no operator {name!r} in this stand-in")

    def put(self, field: Field, value: Any) -> str:
        place = self.statement.put(stored(field, value))
        return f"{place}::jsonb" if field.type == "Json" else place


class Table:
    """What the proxy calls on one table."""

    def __init__(self, client: "Prisma", model: Model) -> None:
        self.client, self.model = client, model

    async def find_many(
        self,
        where: Any = None,
        take: int | None = None,
        skip: int | None = None,
        order: Any = None,
        include: Any = None,
        cursor: Any = None,
        distinct: Any = None,
    ) -> list[Any]:
        statement = Statement()
        sql = f"select this.* from {quoted(self.model.table)} this where {Where(self.model, statement).all(where)}"
        sql += self._ordered(order)
        sql += f" limit {int(take)}" if take is not None else ""
        sql += f" offset {int(skip)}" if skip else ""
        rows = await self.client.fetch(sql, statement.values)
        return [await self._row(each, include) for each in rows]

    async def find_first(self, where: Any = None, **options: Any) -> Any:
        found = await self.find_many(where, take=1, **{k: v for k, v in options.items() if k != "take"})
        return found[0] if found else None

    async def find_unique(self, where: Any, include: Any = None) -> Any:
        return await self.find_first(where, include=include)

    async def find_unique_or_raise(self, where: Any, include: Any = None) -> Any:
        found = await self.find_first(where, include=include)
        if found is None:
            raise errors.RecordNotFoundError("not found")
        return found

    find_first_or_raise = find_unique_or_raise

    async def count(self, where: Any = None, **options: Any) -> int:
        statement = Statement()
        sql = f"select count(*) from {quoted(self.model.table)} this where {Where(self.model, statement).all(where)}"
        return int((await self.client.fetch(sql, statement.values))[0][0])

    async def create(self, data: Any, include: Any = None) -> Any:
        statement = Statement()
        scalars, later = await self._scalars(data, creating=True)
        columns = [quoted(self.model.fields[name].column) for name in scalars]
        places = [self._place(statement, self.model.fields[name], value) for name, value in scalars.items()]
        into = f"({', '.join(columns)}) values ({', '.join(places)})" if columns else "default values"
        sql = f"insert into {quoted(self.model.table)} as this {into} returning this.*"
        (made,) = await self.client.fetch(sql, statement.values)
        await self._create_children(made, later)
        return await self._row(made, include)

    async def create_many(self, data: list[Any], skip_duplicates: bool = False) -> int:
        made = 0
        for each in data:
            try:
                await self.create(each)
                made += 1
            except errors.UniqueViolationError:
                if not skip_duplicates:
                    raise
        return made

    async def update(self, where: Any, data: Any, include: Any = None) -> Any:
        rows = await self._update(where, data)
        return await self._row(rows[0], include) if rows else None

    async def update_many(self, where: Any, data: Any) -> int:
        return len(await self._update(where, data))

    async def upsert(self, where: Any, data: Any, include: Any = None) -> Any:
        if await self.find_first(where) is not None:
            return await self.update(where, data["update"], include=include)
        return await self.create(data["create"], include=include)

    async def delete(self, where: Any, include: Any = None) -> Any:
        rows = await self._delete(where)
        return await self._row(rows[0], None) if rows else None

    async def delete_many(self, where: Any = None) -> int:
        return len(await self._delete(where))

    async def _delete(self, where: Any) -> list[Any]:
        statement = Statement()
        sql = f"delete from {quoted(self.model.table)} this where {Where(self.model, statement).all(where)} returning *"
        return await self.client.fetch(sql, statement.values)

    async def _update(self, where: Any, data: Any) -> list[Any]:
        statement = Statement()
        scalars, _ = await self._scalars(data, creating=False)
        changes = [
            f"{quoted(self.model.fields[n].column)} = {self._change(statement, n, v)}" for n, v in scalars.items()
        ]
        found = Where(self.model, statement).all(where)
        if not changes:
            return await self.client.fetch(
                f"select this.* from {quoted(self.model.table)} this where {found}", statement.values
            )
        sql = f"update {quoted(self.model.table)} this set {', '.join(changes)} where {found} returning this.*"
        return await self.client.fetch(sql, statement.values)

    def _change(self, statement: Statement, name: str, value: Any) -> str:
        field = self.model.fields[name]
        column = f"this.{quoted(field.column)}"
        if isinstance(value, Mapping) and field.type != "Json" and len(value) == 1:
            ((verb, given),) = value.items()
            match verb:
                case "increment":
                    return f"{column} + {self._place(statement, field, given)}"
                case "decrement":
                    return f"{column} - {self._place(statement, field, given)}"
                case "set":
                    return self._place(statement, field, given)
                case "push":
                    given = given if isinstance(given, list) else [given]
                    return f"{column} || {self._place(statement, field, given)}"
        return self._place(statement, field, value)

    def _place(self, statement: Statement, field: Field, value: Any) -> str:
        if field.is_list and isinstance(value, Mapping) and "set" in value:
            value = value["set"]
        place = statement.put(stored(field, value))
        return f"{place}::jsonb" if field.type == "Json" and not field.is_list else place

    async def _scalars(self, data: Mapping[str, Any], *, creating: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """The table's own columns, and what is to be made in others afterwards."""
        scalars: dict[str, Any] = {}
        later: dict[str, Any] = {}
        for name, value in data.items():
            field = self.model.fields.get(name)
            if field is None:
                raise errors.FieldNotFoundError(f"{self.model.name} has no field {name!r}")
            if field.type not in models():
                scalars[name] = value
            elif field.joins[0]:
                scalars.update(await self._linked(field, value))
            else:
                later[name] = value
        now = datetime.now(UTC)
        for field in self.model.scalars.values():
            if field.touches and field.name not in scalars:
                scalars[field.name] = now
            if creating and field.makes_uuid and field.name not in scalars:
                scalars[field.name] = str(uuid.uuid4())
        return scalars, later

    async def _linked(self, field: Field, value: Mapping[str, Any]) -> dict[str, Any]:
        own, theirs = field.joins
        table = Table(self.client, models()[field.type])
        if value.get("disconnect"):
            return dict.fromkeys(own)
        found = await (
            table.create(value["create"]) if "create" in value else table.find_unique(value.get("connect") or {})
        )
        if found is None:
            raise errors.RecordNotFoundError(f"no {field.type} to connect to")
        return {one: getattr(found, other) for one, other in zip(own, theirs, strict=True)}

    async def _create_children(self, made: Any, later: Mapping[str, Any]) -> None:
        for name, value in later.items():
            other = models()[self.model.fields[name].type]
            back = next(each for each in other.fields.values() if each.type == self.model.name and each.joins[0])
            for each in value.get("create", []) if isinstance(value.get("create"), list) else [value.get("create")]:
                if each:
                    keys = {own: made[theirs] for own, theirs in zip(*back.joins, strict=True)}
                    await Table(self.client, other).create({**each, **keys})

    def _ordered(self, order: Any) -> str:
        given = order if isinstance(order, list) else [order] if order else []
        parts = [
            f"this.{quoted(self.model.fields[name].column)} {'desc' if str(way).lower() == 'desc' else 'asc'}"
            for each in given
            for name, way in each.items()
            if name in self.model.fields
        ]
        return f" order by {', '.join(parts)}" if parts else ""

    async def _row(self, raw: Any, include: Any) -> Any:
        values = {name: read(each, raw[each.column]) for name, each in self.model.scalars.items() if each.column in raw}
        for name, wanted in (include or {}).items():
            if wanted:
                field = self.model.fields[name]
                values[name] = await self._included(field, raw, wanted if isinstance(wanted, Mapping) else {})
        return getattr(row_models, self.model.name)(**values)

    async def _included(self, field: Field, raw: Any, options: Mapping[str, Any]) -> Any:
        other = models()[field.type]
        own, theirs = field.joins
        if not own:
            back = next(each for each in other.fields.values() if each.type == self.model.name and each.joins[0])
            theirs, own = back.joins
        keys = {b: raw[self.model.fields[a].column] for a, b in zip(own, theirs, strict=True)}
        if any(value is None for value in keys.values()):
            return [] if field.is_list else None
        found = await Table(self.client, other).find_many(keys, include=options.get("include"))
        return found if field.is_list else (found[0] if found else None)

    async def group_by(self, by: list[str], where: Any = None, **options: Any) -> list[dict[str, Any]]:
        raise errors.InputError("no group_by in this stand-in")


class Batch:
    """Calls that are done together when it ends."""

    def __init__(self, client: "Prisma") -> None:
        self.client = client
        self.calls: list[Any] = []

    def execute_raw(self, query: str, *values: Any) -> None:
        self.calls.append((None, "execute_raw", (query, *values), {}))

    def __getattr__(self, name: str) -> Any:
        table = getattr(self.client, name)
        batch = self

        class Later:
            def __getattr__(self, verb: str) -> Any:
                return lambda *args, **options: batch.calls.append((table, verb, args, options))

        return Later()

    async def commit(self) -> None:
        calls, self.calls = self.calls, []
        async with self.client.tx() as inner:
            for table, verb, args, options in calls:
                await getattr(Table(inner, table.model) if table else inner, verb)(*args, **options)

    async def __aenter__(self) -> "Batch":
        return self

    async def __aexit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            await self.commit()


async def reads_json(connection: Any) -> None:
    """JSON columns come as values, also from raw statements; they are written as text by `stored`."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=str, decoder=json.loads, schema="pg_catalog")


class Prisma:
    """The client. One pool; a transaction is a client on one connection."""

    def __init__(self, *, datasource: Any = None, connection: Any = None, **_options: Any) -> None:
        self._url = (datasource or {}).get("url") or os.environ.get("DATABASE_URL", "")
        self._pool: Any = None
        self._connection = connection

    def is_connected(self) -> bool:
        return self._pool is not None or self._connection is not None

    async def connect(self, *_: Any, **__: Any) -> None:
        if self._pool is None:
            address, _, query = self._url.partition("?")
            # A database on a Unix socket is "?host=/folder".
            host = parse_qs(query).get("host")
            options = {"host": host[0]} if host else {}
            self._pool = await asyncpg.create_pool(address, min_size=1, max_size=5, init=reads_json, **options)

    async def disconnect(self, *_: Any, **__: Any) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.close()

    async def fetch(self, sql: str, values: list[Any]) -> list[Any]:
        where = self._connection or self._pool
        if where is None:
            raise errors.ClientNotConnectedError("not connected")
        try:
            found: list[Any] = await where.fetch(sql, *values)
            return found
        except asyncpg.UniqueViolationError as error:
            raise errors.UniqueViolationError(str(error)) from error
        except asyncpg.ForeignKeyViolationError as error:
            raise errors.ForeignKeyViolationError(str(error)) from error
        except asyncpg.PostgresError as error:
            raise errors.DataError(f"{error}: {sql[:300]}") from error

    async def query_raw(self, query: str, *values: Any, model: Any = None) -> Any:
        rows = [dict(each) for each in await self.fetch(query, [raw_value(each) for each in values])]
        return [model(**each) for each in rows] if model else [plain(each) for each in rows]

    async def query_first(self, query: str, *values: Any, model: Any = None) -> Any:
        rows = await self.query_raw(query, *values, model=model)
        return rows[0] if rows else None

    async def execute_raw(self, query: str, *values: Any) -> int:
        await self.fetch(query, [raw_value(each) for each in values])
        return 1

    @asynccontextmanager
    async def tx(self, **_: Any) -> AsyncIterator["Prisma"]:
        if self._connection is not None:
            async with self._connection.transaction():
                yield self
            return
        async with self._pool.acquire() as connection, connection.transaction():
            yield Prisma(connection=connection)

    def batch_(self) -> Batch:
        return Batch(self)

    def __getattr__(self, name: str) -> Table:
        if name.startswith("_"):
            raise AttributeError(name)
        found = {each.lower(): model for each, model in models().items()}.get(name.lower())
        if found is None:
            raise AttributeError(f"no table {name!r}")
        return Table(self, found)


TransactionManager = Any


def raw_value(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    return json.dumps(value.data) if isinstance(value, Json) else value


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """As the engine gives raw rows: JSON values, times with their zone, which is always UTC."""
    return {
        name: value.replace(tzinfo=UTC).isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
        for name, value in row.items()
    }
