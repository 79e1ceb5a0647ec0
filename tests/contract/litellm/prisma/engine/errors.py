"""Errors of an engine that this stand-in does not have; the proxy compares with them."""


class EngineConnectionError(Exception):
    pass


class EngineRequestError(Exception):
    pass


class NotConnectedError(Exception):
    pass


class AlreadyConnectedError(Exception):
    pass
