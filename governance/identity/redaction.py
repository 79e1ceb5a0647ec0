"""Keeps secrets out of logs: the first-run link is an address, and failed requests are logged with theirs."""

import logging
import re

_FIRST_RUN = re.compile(r"(/first-run/)[^\s/?\"']+")


class HideSecrets(logging.Filter):
    """Rewrites a record before any handler sees it; never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        hidden = _FIRST_RUN.sub(r"\1[hidden]", message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True
