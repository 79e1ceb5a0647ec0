"""The errors that the proxy catches by name."""


class PrismaError(Exception):
    pass


class ClientNotConnectedError(PrismaError):
    pass


class ClientNotRegisteredError(PrismaError):
    pass


class DataError(PrismaError):
    pass


class UniqueViolationError(DataError):
    pass


class ForeignKeyViolationError(DataError):
    pass


class MissingRequiredValueError(DataError):
    pass


class RawQueryError(DataError):
    pass


class TableNotFoundError(DataError):
    pass


class FieldNotFoundError(DataError):
    pass


class RecordNotFoundError(DataError):
    pass


class InputError(DataError):
    pass


class HTTPClientClosedError(PrismaError):
    pass


class TransactionError(PrismaError):
    pass


class TransactionExpiredError(TransactionError):
    pass
