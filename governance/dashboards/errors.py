"""The pages for what can't be shown: what happened, a request id, and what to do next."""

import logging

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from governance.dashboards.frame import person
from governance.selectors import owner_names

logger = logging.getLogger(__name__)

# Django passes `exception` by name; its text may hold what the reader must not see, so no page shows it.


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Says who can grant what is missing, to people who are signed in."""
    owners = owner_names() if request.user.is_authenticated else []
    return _page(request, 403, owners=owners)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    return _page(request, 404)


def failed(request: HttpRequest) -> HttpResponse:
    """Reads nothing: what failed may be the database itself."""
    request_id = getattr(request, "request_id", "")
    logger.error("request %s failed", request_id)
    context = {"request_id": request_id}
    return render(request, "governance/errors/500.html", context, status=500)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """A form from a page that was open too long, or from elsewhere."""
    context = {"request_id": getattr(request, "request_id", "")}
    return render(request, "governance/errors/csrf.html", context, status=403)


def _page(request: HttpRequest, status: int, **context: object) -> HttpResponse:
    shared = {"request_id": getattr(request, "request_id", ""), **person(request)}
    return render(request, f"governance/errors/{status}.html", shared | context, status=status)
