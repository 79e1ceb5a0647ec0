"""Every error of the API as `application/problem+json` (RFC 9457): what is wrong, where, and the fix.

No message depends on what exists but is not the reader's: an error must not tell more than an empty answer.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from attribution import selectors
from attribution.actors import Forbidden
from attribution.api.grammar import Mistake, NotUnderstood

MEDIA_TYPE = "application/problem+json"
logger = logging.getLogger(__name__)

_TITLES = {
    400: ("not-understood", "The request was not understood"),
    401: ("not-signed-in", "Who you are is not known"),
    403: ("not-allowed", "You may not see this"),
    404: ("not-found", "There is nothing here"),
    405: ("no-such-method", "This can't be done here"),
    406: ("not-acceptable", "No such representation"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The body's format is not supported"),
    429: ("too-many-requests", "Too many requests"),
    500: ("failed", "Something went wrong here"),
}


def problem(
    code: int, detail: str, *, mistakes: Sequence[Mistake] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A problem response; `detail` says what to do."""
    kind, title = _TITLES.get(code, (f"status-{code}", "The request failed"))
    body: dict[str, Any] = {"type": f"urn:weir:problem:{kind}", "title": title, "status": code, "detail": detail}
    if mistakes:
        body["errors"] = [{"field": one.field, "message": one.message, "fix": one.fix} for one in mistakes]
    return Response(body, status=code, headers=dict(headers or {}), content_type=MEDIA_TYPE)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """REST framework's EXCEPTION_HANDLER."""
    match error:
        case NotUnderstood():
            return problem(400, "Correct the parameters named in errors and ask again.", mistakes=error.mistakes)
        case selectors.UnknownPage():
            mistake = Mistake("after", str(error), "send back 'next_after' of the same question, or leave it out")
            return problem(400, "Correct the parameters named in errors and ask again.", mistakes=[mistake])
        case selectors.NotAllowed() | PermissionDenied() | Forbidden():
            return problem(403, str(error) or "An owner can grant you access.")
        case Http404() | exceptions.NotFound():
            return problem(404, "Look the address up in /api/docs; addresses have no slash at their end.")
        case exceptions.MethodNotAllowed():
            answer = exception_handler(error, context)
            allowed = answer.headers.get("Allow", "GET") if answer is not None else "GET"
            return problem(405, f"Use {allowed}.", headers={"Allow": allowed})
        case exceptions.NotAcceptable():
            return problem(406, "Accept application/json.")
        case exceptions.UnsupportedMediaType():
            return problem(415, "Send application/json.")
        case exceptions.ParseError():
            mistake = Mistake("body", str(error.detail), "send one JSON object in UTF-8")
            return problem(400, "The body is not JSON.", mistakes=[mistake])
        case SuspiciousOperation():
            return problem(400, "The request has too many or malformed fields: send fewer.")
        case exceptions.APIException():
            return _framework_problem(error, context)
    logger.exception("an API request failed", exc_info=error)
    set_rollback()
    return problem(500, "Ask again; if it stays so, tell the operator the time of this request.")


def _framework_problem(error: exceptions.APIException, context: dict[str, Any]) -> Response:
    # The framework knows which headers belong to it: WWW-Authenticate, Retry-After.
    answer = exception_handler(error, context)
    kept = (
        {name: answer.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in answer.headers}
        if (answer is not None)
        else {}
    )
    code = answer.status_code if answer is not None else status.HTTP_500_INTERNAL_SERVER_ERROR
    if code == status.HTTP_401_UNAUTHORIZED and isinstance(error, exceptions.NotAuthenticated):
        return problem(401, "Send 'Authorization: Bearer <token>', or sign in first.", headers=kept)
    return problem(code, str(error.detail), headers=kept)
