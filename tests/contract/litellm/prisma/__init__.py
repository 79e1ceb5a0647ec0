"""A stand-in for the database client of LiteLLM's proxy, so that the real proxy runs where its engine can't be fetched.

The client that the proxy normally uses downloads a query engine as a binary. This package has the part of its interface
that the proxy's management and routing use, over asyncpg: it reads the proxy's own schema for tables, types, defaults
and relations. For the contract test only.
"""

from . import errors, models, types
from .client import Json, Prisma, TransactionManager

__all__ = ["Json", "Prisma", "TransactionManager", "errors", "models", "types"]
