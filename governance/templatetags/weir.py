"""Template tags of the pages: icons, cells, links that change one part of the bar. No figure is made here."""

from dataclasses import replace
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from governance.dashboards.bar import Bar
from governance.dashboards.middleware import theme_of
from governance.dashboards.shown import Shown

register = template.Library()

# Drawn on a 16 px grid, 1.5 px strokes.
_ICONS = {
    "overview": '<path d="M2.5 13.5h11M4 11V7.5M8 11V3.5M12 11V6"/>',
    "data": (
        '<ellipse cx="8" cy="4" rx="5" ry="2"/>'
        '<path d="M3 4v8c0 1.1 2.2 2 5 2s5-.9 5-2V4M3 8c0 1.1 2.2 2 5 2s5-.9 5-2"/>'
    ),
    "budgets": '<path d="M2 11.500a6 6 0 1 1 12 0M8 11.500l2.800-4"/><path d="M2 13.500h12"/>',
    "forecast": (
        '<path d="M2 11.500 5.500 8l2.500 2"/><path d="m8 10 6-6.500M11 3.500h3v3" stroke-dasharray="2 1.500"/>'
    ),
    "anomaly": '<path d="M1.500 11h3l2-8 3 10 2-5h3"/>',
    "calendar": '<rect x="2.5" y="3.5" width="11" height="10" rx="1.5"/><path d="M2.5 6.5h11M5.5 2v2.5M10.5 2v2.5"/>',
    "chevron": '<path d="m4.5 6.500 3.500 3.500 3.500-3.500"/>',
    "plus": '<path d="M8 3.500v9M3.500 8h9"/>',
    "cross": '<path d="m4.500 4.500 7 7M11.500 4.500l-7 7"/>',
    "link": (
        '<path d="M6.500 9.500 9.500 6.500M7 4.500l1.500-1.500a2.800 2.800 0 0 1 4 4L11 8.500M9 11.500 '
        '7.500 13a2.800 2.800 0 0 1-4-4L5 7.500"/>'
    ),
    "export": '<path d="M8 2.500V10M5 7l3 3 3-3M3 9.500v4h10v-4"/>',
    "warning": '<path d="M8 2.200 14.300 13H1.700zM8 6.500v3M8 11.200v.1"/>',
    "check": '<path d="m3.500 8.500 3 3 6-7"/>',
    "system": '<rect x="2.500" y="3" width="11" height="7.500" rx="1"/><path d="M6 13.500h4M8 10.500v3"/>',
    "light": (
        '<circle cx="8" cy="8" r="2.600"/><path d="M8 1.800v1.400M8 12.800v1.400M1.800 8h1.400M12.800 8h1.400M3.600 '
        '3.600l1 1M11.400 11.400l1 1M12.400 3.600l-1 1M4.600 11.400l-1 1"/>'
    ),
    "dark": '<path d="M12.800 9.600A5.300 5.300 0 0 1 6.400 3.200a5.300 5.300 0 1 0 6.400 6.400z"/>',
    "bell": '<path d="M4 11V7a4 4 0 0 1 8 0v4l1.500 1.500h-11zM6.500 14h3"/>',
    "code": '<path d="m5.500 4.500-3.500 3.500 3.500 3.500M10.500 4.500 14 8l-3.500 3.500"/>',
    "out": '<path d="M6.500 3h-3v10h3M10 5l3 3-3 3M13 8H6.500"/>',
    "back": '<path d="M9.500 4.500 6 8l3.500 3.500"/>',
    "changes": '<path d="M3 4.500h7a3 3 0 0 1 0 6H4M6 8l-2.500 2.500L6 13"/>',
    "stop": '<path d="M5.200 2h5.600L14 5.200v5.600L10.800 14H5.200L2 10.800V5.200zM8 5v3.500M8 10.800v.1"/>',
    "power": '<path d="M8 2v5.500M4.500 4.200a5.300 5.300 0 1 0 7 0"/>',
    "undo": '<path d="M6 4 2.500 7.500 6 11M2.500 7.500h7a4 4 0 0 1 0 6H7"/>',
    "retry": '<path d="M13 8a5 5 0 1 1-1.500-3.500L13 6M13 2.800V6H9.800"/>',
}


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An icon beside words; it says nothing by itself."""
    return format_html(
        '<svg class="icon {}" viewBox="0 0 16 16" aria-hidden="true">{}</svg>',
        css,
        mark_safe(_ICONS[name]),  # noqa: S308
    )


@register.simple_tag(takes_context=True)
def page_theme(context: template.Context) -> str:
    """The theme that the reader chose; 'system' when none is."""
    request = context.get("request")
    return theme_of(request) if request is not None else "system"


@register.simple_tag
def cell(shown: Shown, css: str = "") -> SafeString:
    """A right-aligned table cell with the exact figure in its title."""
    return format_html('<td class="num {} {}" title="{}">{}</td>', css, shown.css, shown.title, shown.text)


@register.simple_tag
def inline(shown: Shown) -> SafeString:
    """A figure in running text, with the exact figure in its title."""
    return format_html('<span class="{}" title="{}">{}</span>', shown.css, shown.title, shown.text)


@register.simple_tag
def bar_query(bar: Bar, **changes: Any) -> str:
    """The query of this page with some parts of the bar changed."""
    return replace(bar, **changes).query()


@register.simple_tag
def sort_head(bar: Bar, column: str, label: str, css: str = "num", meaning: str = "") -> SafeString:
    """A column head that sorts by its column; shows the order that holds."""
    order = {column: "ascending", f"-{column}": "descending"}.get(bar.sort, "")
    current = format_html(' aria-sort="{}"', order) if order else ""
    words = format_html('<span class="term" title="{}">{}</span>', meaning, label) if meaning else label
    return format_html(
        '<th scope="col" class="{}"{}><a href="?{}">{}</a></th>', css, current, bar.sorted_by(column).query(), words
    )
