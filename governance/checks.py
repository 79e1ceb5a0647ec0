"""Every setting checked at start: each finding has an id and the fix."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from governance.notifications.mail import MailServer


@register()
def check_data_folder(**_: Any) -> list[CheckMessage]:
    """weir.E001: the data folder, or the nearest existing folder above it, can be written."""
    folder: Path = settings.WEIR_HOME
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return []
    return [
        Error(
            f"the data folder {settings.WEIR_HOME} can't be written",
            hint="Free it, or set WEIR_HOME to a folder that this user can write.",
            id="weir.E001",
        )
    ]


@register()
def check_engine_limits(**_: Any) -> list[CheckMessage]:
    """weir.E002: the engine has at least one thread. weir.E003: its memory limit has a unit."""
    found: list[CheckMessage] = []
    if settings.WEIR_ENGINE_THREADS < 1:
        found.append(
            Error(f"WEIR_ENGINE_THREADS is {settings.WEIR_ENGINE_THREADS}", hint="Set it to 1 or more.", id="weir.E002")
        )
    if not settings.WEIR_ENGINE_MEMORY.upper().endswith(("MB", "GB", "MIB", "GIB", "TB")):
        found.append(
            Error(
                f"WEIR_ENGINE_MEMORY is {settings.WEIR_ENGINE_MEMORY!r}",
                hint="Give a number with a unit, for example 2GB.",
                id="weir.E003",
            )
        )
    return found


@register(deploy=True)
def check_secret_key(**_: Any) -> list[CheckMessage]:
    """weir.W001: with several web hosts, the secret key must be the same on all of them."""
    if os.environ.get("WEIR_SECRET_KEY"):
        return []
    return [
        Warning(
            "the secret key is a file in the data folder of this machine",
            hint="Set WEIR_SECRET_KEY where more than one host serves pages.",
            id="weir.W001",
        )
    ]


@register()
def check_public_url(**_: Any) -> list[CheckMessage]:
    """weir.E010: messages link to pages, so WEIR_PUBLIC_URL is an address of a server."""
    parts = urlsplit(settings.WEIR_PUBLIC_URL)
    if parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment):
        return []
    return [
        Error(
            f"WEIR_PUBLIC_URL is {settings.WEIR_PUBLIC_URL!r}",
            hint="Set it to where people open Weir, for example https://weir.example.com.",
            id="weir.E010",
        )
    ]


@register()
def check_mail_server(**_: Any) -> list[CheckMessage]:
    """weir.E011: the mail server can be understood. Its address is not shown: it may hold a password."""
    if not settings.WEIR_SMTP_URL:
        return []
    try:
        MailServer.parse(settings.WEIR_SMTP_URL, settings.WEIR_MAIL_FROM)
    except ValueError as error:
        return [Error(f"WEIR_SMTP_URL or WEIR_MAIL_FROM: {error}", hint="Correct it.", id="weir.E011")]
    return []


@register(deploy=True)
def check_links_lead_here(**_: Any) -> list[CheckMessage]:
    """weir.W010: where mail leaves for other people, links to localhost lead nowhere."""
    if settings.WEIR_SMTP_URL and urlsplit(settings.WEIR_PUBLIC_URL).hostname in ("localhost", "127.0.0.1", "::1"):
        hint = "Set WEIR_PUBLIC_URL to the address that people open."
        return [Warning("messages link to this machine only", hint=hint, id="weir.W010")]
    return []
