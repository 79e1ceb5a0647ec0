"""Template filters for the spans of the bar."""

from django import template

from governance.dashboards import formats
from governance.dashboards.bar import PERIODS, Span

register = template.Library()


@register.filter
def period_label(period: str) -> str:
    return PERIODS[period]


@register.filter
def days(span: Span) -> str:
    """'1–23 Nov 2026'."""
    return formats.span(span.start, span.end)


@register.filter
def days_short(span: Span, beside: Span) -> str:
    """A span without its year where that is the year of the span beside it."""
    return formats.span(span.start, span.end, year=span.start.year != beside.start.year)
