"""Signing in and out, and the first run. Pages only; the rules are in services and throttle."""

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from governance.identity import services, throttle
from governance.identity.forms import FirstRunForm, SignInForm
from governance.models import User

FIRST_RUN_SESSION_KEY = "first_run_digest"
# One sentence for every failure: it must not tell whether the address has an account.
REFUSED = "This address and password don't match an account."


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page; a right password rotates the session and leads to `next` on this host."""
    destination = _destination(request)
    if isinstance(request.user, User):
        return HttpResponseRedirect(destination)
    form = SignInForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound and form.is_valid():
        email, address = form.cleaned_data["email"], _client_address(request)
        if not throttle.note_attempt(email, address, timezone.now()):
            form.add_error(None, "Too many attempts. Try again in 15 minutes.")
            status = 429
        else:
            user = authenticate(request, username=email, password=form.cleaned_data["password"])
            if user is not None:
                throttle.forget_attempts(email, address)
                login(request, user)
                return HttpResponseRedirect(destination)
            form.add_error(None, REFUSED)
    page = {"form": form, "next": destination, "first_run_pending": not services.owner_exists()}
    response = render(request, "governance/sign_in.html", page, status=status)
    if status == 429:
        response.headers["Retry-After"] = str(int(throttle.WINDOW.total_seconds()))
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("sign-in")


@never_cache
@require_http_methods(["GET", "HEAD"])
def open_first_run(request: HttpRequest, secret: str) -> HttpResponse:
    """The printed link: its digest moves into the session at once, so that the secret stays out of referrers."""
    digest = services.digest_of(secret)
    if not services.first_run_link_is_open(digest, timezone.now()):
        return _link_is_closed(request)
    request.session[FIRST_RUN_SESSION_KEY] = digest
    return redirect("first-run")


@sensitive_post_parameters("password", "password_again")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def first_run(request: HttpRequest) -> HttpResponse:
    """Make the first owner and sign them in."""
    digest = request.session.get(FIRST_RUN_SESSION_KEY, "")
    now = timezone.now()
    if not services.first_run_link_is_open(digest, now):
        return _link_is_closed(request)
    form = FirstRunForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        try:
            owner = services.make_first_owner(
                digest, email=given["email"], name=given["name"], password=given["password"], now=now
            )
        except services.IdentityError as error:
            form.add_error(None, str(error))
        else:
            login(request, owner, backend="django.contrib.auth.backends.ModelBackend")
            return redirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "governance/first_run.html", {"form": form})


def _link_is_closed(request: HttpRequest) -> HttpResponse:
    return render(request, "governance/first_run_closed.html", {"owner_exists": services.owner_exists()}, status=410)


def _destination(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    inside = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if inside and wanted != reverse("sign-in") else resolve_url(settings.LOGIN_REDIRECT_URL)


def _client_address(request: HttpRequest) -> str:
    forwarded = str(request.headers.get("X-Forwarded-For", ""))
    if settings.WEIR_BEHIND_PROXY and forwarded:
        # The last one is our proxy's word; those before it are the sender's.
        return forwarded.rsplit(",", 1)[-1].strip()
    return str(request.META.get("REMOTE_ADDR", ""))
