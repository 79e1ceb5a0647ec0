"""Pages: read the URL, ask the selectors, hand the result to a template. Nothing is computed here."""

import csv
import io
from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from attribution import selectors
from attribution.selectors import Availability, ProviderFreshness
from governance.dashboards import bar as bars
from governance.dashboards import beside, changed, chips, data_page, formats, overview, palette, periods_page, reading
from governance.dashboards.frame import frame, scope_of, today_of
from governance.dashboards.freshness import newest_day
from governance.dashboards.middleware import THEME_COOKIE, THEMES
from governance.dashboards.to_come import days_to_come
from governance.forecasting.drivers import DRIVERS
from governance.selectors import catalogue_names

YEAR_SECONDS = 365 * 24 * 3600
RECENT_FILES = 1000
SHOWN_QUARANTINE = 100


@never_cache
@login_required
@require_safe
def overview_page(request: HttpRequest) -> HttpResponse:
    """What was spent, by whom, on what."""
    scope = scope_of(request)
    bar, found = _bar(request)
    snapshot = selectors.snapshot()
    context = frame(request, page="overview", found=found)
    if snapshot.availability is Availability.EMPTY:
        arrived = selectors.sources(scope) if scope.everything else ()
        kinds = {each.kind for each in arrived}
        steps = {"sources": arrived, "has_bills": "billing" in kinds, "has_telemetry": "telemetry" in kinds}
        return render(request, "governance/overview_empty.html", context | steps)
    names = catalogue_names()
    facts = reading.overview_facts(scope, bar)
    to_come = days_to_come(scope, bar, facts, names)
    shown = overview.build(
        facts,
        bar,
        names=names,
        everything=scope.everything,
        slots=palette.slots_of,
        ahead=to_come.ahead,
        marks=to_come.marks,
    )
    panels = beside.panels(scope, found, to_come.budgets, names)
    page = {"shown": shown, "forecast": to_come.tile, "panels": panels, "changed_by": changed.label_of(bar)[0].lower()}
    return render(
        request, "governance/overview.html", context | page | chips.bar_context(bar, names, newest_day(found))
    )


@never_cache
@login_required
@require_safe
def what_changed(request: HttpRequest) -> HttpResponse:
    """The difference to the comparison by entity, each split into its drivers."""
    scope = scope_of(request)
    bar, found = _bar(request)
    names = catalogue_names()
    driver = request.GET.get("driver", "")
    driver = driver if driver in DRIVERS else ""
    tables = reading.changed_facts(scope, bar)
    currency = overview.main_currency(tables[1]) if tables else "USD"
    split = changed.changed(*tables, currency) if tables else None
    page = {
        "driver": driver,
        "currency": currency,
        "rows": changed.by_entity(split, bar, driver, currency, names) if split else None,
        "singular": changed.label_of(bar)[0],
        "plural": changed.label_of(bar)[1],
        "here": request.path,
    }
    context = frame(request, page="overview", found=found) | chips.bar_context(bar, names, newest_day(found))
    return render(request, "governance/what_changed.html", context | page)


@never_cache
@login_required
@require_safe
def overview_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The table of the Overview, every row, every digit."""
    bar, _found = _bar(request)
    facts = reading.overview_facts(scope_of(request), bar)
    response = StreamingHttpResponse(_csv_lines(facts, bar), content_type="text/csv; charset=utf-8")
    name = f"weir-{bar.group_by.value}-{bar.span.start}-{bar.span.end}.csv"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@never_cache
@login_required
@require_safe
def filters(request: HttpRequest) -> HttpResponse:
    """What each filter can be set to in the bar's period; a fragment for htmx, else a page of its own."""
    scope = scope_of(request)
    bar, found = _bar(request)
    groups = [
        chips.choices(bar, dimension, reading.values_of(scope, bar, dimension), catalogue_names())
        for dimension in bars.DIMENSIONS
    ]
    context = {"bar": bar, "groups": [group for group in groups if group.values]}
    if request.headers.get("HX-Request"):
        return render(request, "governance/parts/filters.html", context)
    return render(request, "governance/filters.html", context | frame(request, page="overview", found=found))


@never_cache
@login_required
@require_safe
def data(request: HttpRequest) -> HttpResponse:
    """Where the figures come from, whether they reconcile, and what was kept out."""
    scope = scope_of(request)
    if not scope.everything:
        raise PermissionDenied("The Data page speaks of the whole organisation.")
    today = today_of()
    reconciled = selectors.reconciliation(scope)
    sources = selectors.sources(scope)
    chosen = request.GET.get("cell") or data_page.default_cell(reconciled)
    kept_out = selectors.quarantine(scope, limit=SHOWN_QUARANTINE)
    all_months = request.GET.get("months") == "all"
    imports = selectors.imports(scope, limit=RECENT_FILES)
    lines = data_page.source_lines(sources, today, imports)
    context = frame(request, page="data") | {
        "summary": data_page.summary(reconciled, sources),
        "failed": [each for each in lines if each.state == "bad"],
        "wrong": [row for row in reconciled if row.difference],
        "matrices": data_page.matrices(reconciled, chosen=chosen, all_months=all_months, today=today),
        "all_months": all_months,
        "proof": data_page.proof(reconciled, chosen),
        "sources": lines,
        "imports": data_page.import_lines(imports, today),
        **periods_page.context(request),
        "quarantine": data_page.quarantine_lines(kept_out, today),
        "quarantined_rows": sum(row.count for row in kept_out),
    }
    return render(request, "governance/data.html", context)


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the chosen theme in a cookie that the server reads; back to the page that asked."""
    wanted = request.POST.get("theme", "")
    destination = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(destination, allowed_hosts={request.get_host()}):
        destination = "/"
    response = HttpResponseRedirect(destination)
    if wanted == "system" or wanted not in THEMES:
        response.delete_cookie(THEME_COOKIE, samesite="Lax")
    else:
        response.set_cookie(
            THEME_COOKIE, wanted, max_age=YEAR_SECONDS, samesite="Lax", httponly=True, secure=request.is_secure()
        )
    return response


def _bar(request: HttpRequest) -> tuple[bars.Bar, tuple[ProviderFreshness, ...]]:
    found = selectors.freshness(scope_of(request))
    return bars.read(dict(request.GET.lists()), today_of(), newest_day(found)), found


def _csv_lines(facts: reading.OverviewFacts, bar: bars.Bar) -> Iterator[str]:
    """Amounts as exact decimals; an unknown one is empty."""
    heads = ["start", "end", "basis", bar.group_by.value, "currency", "total", "billed", "estimated", "attributed"]
    yield _csv_line([*heads, "unattributed", "unknown_parts", "metered_tokens"])
    for row in facts.groups.rows:
        amounts = row.amounts
        yield _csv_line(
            [
                bar.span.start,
                bar.span.end,
                bar.basis.value,
                row.group[0] or "",
                row.currency,
                *map(
                    formats.exact,
                    (
                        amounts.total,
                        amounts.cost,
                        amounts.estimated_cost,
                        amounts.attributed_cost,
                        amounts.unattributed_cost,
                    ),
                ),
                amounts.unknown_parts,
                "" if amounts.metered_tokens is None else amounts.metered_tokens,
            ]
        )


def _csv_line(values: list[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([formats.unformula(value) for value in values])
    return buffer.getvalue()
