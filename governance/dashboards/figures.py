"""Figures: rows in, a Plotly figure as plain dicts out. No queries, no Plotly in Python.

Colours are names ("slot:3", "slot:3:line", "token:grid") that the browser resolves, because only it knows the
theme. Amounts go in as exact decimal texts, which Plotly reads as numbers; nothing here becomes a float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from governance.dashboards import formats

# Heights in CSS pixels of the drawing area in the two layouts; --figure less the margins.
_WIDE = {"t": 10, "b": 26, "l": 132, "r": 52}
_NARROW = {"t": 10, "b": 26, "l": 18, "r": 44}
_WIDE_HEIGHT = 304 - 36
_LABEL_PITCH = 15

Figure = dict[str, Any]


@dataclass(frozen=True)
class Series:
    """One entity's bars: what is billed, and what is only estimated, per bucket; None where nothing is known."""

    label: str
    slot: int
    billed: Sequence[Decimal | None]
    estimated: Sequence[Decimal | None]


@dataclass(frozen=True)
class Ahead:
    """The forecast that the bars run on into: days after the last bucket, and their 80 % band."""

    days: Sequence[date]
    low: Sequence[Decimal]
    middle: Sequence[Decimal]
    high: Sequence[Decimal]


@dataclass(frozen=True)
class Mark:
    """What happened in a bucket, and what it cost; the first of several is written out where there is room."""

    bucket: date
    title: str
    words: str = ""


def stacked_bars(
    buckets: Sequence[date],
    series: Sequence[Series],
    *,
    currency: str,
    monthly: bool,
    ahead: Ahead | None = None,
    marks: Sequence[Mark] = (),
) -> Figure:
    """Stacked bars from zero, the largest series at the bottom; estimated parts are hatched.

    ahead: drawn as a line with its band, right of the bars; marks: above their bars, the most important first.
    Gives `data`, and a `layout` for wide and for narrow screens.
    """
    names = [f"{day}" for day in buckets]
    titles = [formats.month(f"{day:%Y-%m}") if monthly else formats.day(day) for day in buckets]
    data = []
    for each in series:
        data.append(_bars(each, names, titles, each.billed, currency, estimated=False))
        if any(amount is not None for amount in each.estimated):
            data.append(_bars(each, names, titles, each.estimated, currency, estimated=True))
    low, high = _extent(buckets, series)
    if ahead is not None and ahead.days:
        data += _forecast(ahead, currency)
        high = max(high, *ahead.high)
        names = [*names, *(f"{day}" for day in ahead.days)]
        titles = [*titles, *(formats.day(day) for day in ahead.days)]
    ticks = nice_ticks(low, high)
    room = (high - low) / (6 if marks or ahead else 20)
    top, bottom = max(high, ticks[-1]) + room, low - room if low else low
    common = {
        "barmode": "relative",
        "bargap": 0.24,
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "token:font", "size": 11, "color": "token:ink-3"},
        "hoverlabel": {"bgcolor": "token:ink", "bordercolor": "token:ink", "font": {"color": "token:surface"}},
        "yaxis": _y_axis(ticks, bottom, top, currency),
    }
    labels = _direct_labels(series, bottom, top)
    seam, said = _seam(len(buckets), ahead), _mark_signs(marks, buckets, series)
    texts = [*_mark_texts(marks, buckets, series), *_seam_text(len(buckets), ahead)]
    wide = {
        **common,
        "margin": _WIDE,
        "xaxis": _x_axis(names, titles, 10),
        "annotations": [*labels["annotations"], *said, *texts],
        "shapes": [*labels["shapes"], *seam],
    }
    narrow = {
        **common,
        "margin": _NARROW,
        "xaxis": _x_axis(names, titles, 4),
        **({"annotations": said} if said else {}),
        **({"shapes": seam} if seam else {}),
    }
    return {"data": data, "wide": wide, "narrow": narrow}


def _forecast(ahead: Ahead, currency: str) -> list[Figure]:
    """The band, as two edges with the space between them filled, and the line in its middle."""
    names = [f"{day}" for day in ahead.days]
    edge: Figure = {"type": "scatter", "mode": "lines", "x": names, "line": {"width": 0}, "hoverinfo": "skip"}
    return [
        {**edge, "name": "90th percentile", "y": [formats.exact(each) for each in ahead.high]},
        {
            **edge,
            "name": "10th percentile",
            "y": [formats.exact(each) for each in ahead.low],
            "fill": "tonexty",
            "fillcolor": "token:accent-soft",
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "Forecast",
            "x": names,
            "y": [formats.exact(each) for each in ahead.middle],
            "line": {"color": "token:accent", "width": 2},
            "marker": {
                "color": "token:surface",
                "size": 6,
                "line": {"color": "token:accent", "width": 1.5},
            },
            "customdata": [
                f"{formats.day(day)}, forecast: {formats.money(middle, currency)} {currency}, "
                f"80 % between {formats.money(low, currency)} and {formats.money(high, currency)}"
                for day, low, middle, high in zip(ahead.days, ahead.low, ahead.middle, ahead.high, strict=True)
            ],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    ]


def _seam(bars: int, ahead: Ahead | None) -> list[Figure]:
    """The line between what was and what is foreseen. Categories are counted from 0."""
    if ahead is None or not ahead.days or not bars:
        return []
    at = f"{bars - 0.5}"
    line = {"color": "token:axis", "width": 1, "dash": "dot"}
    return [{"type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": line}]


def _seam_text(bars: int, ahead: Ahead | None) -> list[Figure]:
    if ahead is None or not ahead.days or not bars:
        return []
    # Few days are left at the end of a month: then the words stand left of the seam.
    right = len(ahead.days) * 4 >= bars
    return [
        {
            "xref": "x",
            "x": bars - 0.5,
            "xanchor": "left" if right else "right",
            "xshift": 5 if right else -5,
            "yref": "paper",
            "y": 1,
            "yanchor": "top",
            "text": "Forecast, 80 % band",
            "showarrow": False,
            "font": {"color": "token:accent", "size": 11, "weight": 600},
        }
    ]


def _mark_signs(marks: Sequence[Mark], buckets: Sequence[date], series: Sequence[Series]) -> list[Figure]:
    places = {bucket: index for index, bucket in enumerate(buckets)}
    return [
        {
            "xref": "x",
            "x": places[mark.bucket],
            "yref": "y",
            "y": formats.exact(_height(series, places[mark.bucket])),
            "yanchor": "bottom",
            "text": "▼",
            "hovertext": _escaped(mark.title),
            "showarrow": False,
            "font": {"color": "token:bad", "size": 10},
        }
        for mark in marks
        if mark.bucket in places
    ]


def _mark_texts(marks: Sequence[Mark], buckets: Sequence[date], series: Sequence[Series]) -> list[Figure]:
    """The first mark's words, beside its sign, on the side with more room."""
    known = [mark for mark in marks if mark.bucket in set(buckets)]
    if not known:
        return []
    mark, at = known[0], list(buckets).index(known[0].bucket)
    left = at * 2 < len(buckets)
    # No tag but a line break: others become inline styles, which the pages' policy forbids.
    words = f"<br>{_escaped(mark.words)}" if mark.words else ""
    return [
        {
            "xref": "x",
            "x": at,
            "xanchor": "left" if left else "right",
            "xshift": 9 if left else -9,
            "align": "left" if left else "right",
            "yref": "y",
            "y": formats.exact(_height(series, at)),
            "yanchor": "bottom",
            "text": f"{_escaped(mark.title)}{words}",
            "showarrow": False,
            "bgcolor": "token:surface",
            "font": {"color": "token:bad", "size": 11},
        }
    ]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _bars(
    series: Series,
    names: Sequence[str],
    titles: Sequence[str],
    amounts: Sequence[Decimal | None],
    currency: str,
    *,
    estimated: bool,
) -> Figure:
    kind = ", estimated" if estimated else ""
    marker: Figure = {
        "color": f"slot:{series.slot}",
        "line": {"color": f"slot:{series.slot}:line", "width": 0.6},
    }
    if estimated:
        marker["pattern"] = {
            "shape": "/",
            "size": 5,
            "solidity": 0.42,
            "fillmode": "overlay",
            "fgcolor": "token:surface",
            "bgcolor": f"slot:{series.slot}",
        }
    return {
        "type": "bar",
        "name": series.label + kind,
        "x": list(names),
        "y": [None if amount is None else formats.exact(amount) for amount in amounts],
        "customdata": [
            f"{title}, {series.label}: {formats.money(amount, currency)} {currency}{kind}"
            for title, amount in zip(titles, amounts, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": marker,
    }


def _extent(buckets: Sequence[date], series: Sequence[Series]) -> tuple[Decimal, Decimal]:
    """The lowest and the highest end of any stack; bars start at zero, so both include it."""
    low = high = Decimal(0)
    for index in range(len(buckets)):
        parts = [part for each in series for part in (each.billed[index], each.estimated[index]) if part is not None]
        high = max(high, sum((part for part in parts if part > 0), Decimal(0)))
        low = min(low, sum((part for part in parts if part < 0), Decimal(0)))
    return low, high


def nice_ticks(low: Decimal, high: Decimal, at_most: int = 4) -> list[Decimal]:
    """Round values within [low, high], zero among them, with at most `at_most` steps between them and zero."""
    if high <= 0 and low >= 0:
        return [Decimal(0), Decimal(1)]
    reach = max(high, -low)
    step = next(
        Decimal(factor).scaleb(exponent)
        for exponent in range((reach / at_most).adjusted(), (reach / at_most).adjusted() + 3)
        for factor in ("1", "2", "2.5", "5")
        if Decimal(factor).scaleb(exponent) * at_most >= reach
    )
    # Truncation is towards zero, so a small credit adds no empty step below the axis.
    return [step * index for index in range(int(low / step), int(high / step) + 1)]


def tick_text(value: Decimal, currency: str) -> str:
    """'$15k', '$2.5M', '$0.002': an axis' label, without digits that the step doesn't need."""
    if value == 0:
        return "0"
    for size, unit in ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "k")):
        if abs(value) >= size:
            number, suffix = value / size, unit
            break
    else:
        number, suffix = value, ""
    sign = formats.MINUS if value < 0 else ""
    return f"{sign}{formats.symbol(currency)}{formats.exact(abs(number))}{suffix}"


def _y_axis(ticks: Sequence[Decimal], low: Decimal, high: Decimal, currency: str) -> Figure:
    return {
        "side": "right",
        "range": [formats.exact(low), formats.exact(high)],
        "fixedrange": True,
        "tickvals": [formats.exact(each) for each in ticks],
        "ticktext": [tick_text(each, currency) for each in ticks],
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",
        "gridcolor": "token:grid",
        "zerolinecolor": "token:axis",
        "zerolinewidth": 1,
    }


def _x_axis(names: Sequence[str], titles: Sequence[str], at_most: int) -> Figure:
    every = max(1, -(-len(names) // at_most))
    chosen = list(range(0, len(names), every))
    # The month stands at the first tick and wherever it changes; a month alone needs no repeating.
    months = [titles[index].split(" ")[-2] if len(titles[index].split(" ")) > 2 else "" for index in chosen]
    texts = [
        _tick_date(titles[index], repeat=position > 0 and months[position] == months[position - 1])
        for position, index in enumerate(chosen)
    ]
    return {
        "type": "category",
        "fixedrange": True,
        "tickvals": [names[index] for index in chosen],
        "ticktext": texts,
        "tickangle": 0,
        "showgrid": False,
    }


def _tick_date(title: str, *, repeat: bool) -> str:
    words = title.split(" ")
    if len(words) < 3:
        return title
    return words[0] if repeat else f"{words[0]} {words[1]}"


def _direct_labels(series: Sequence[Series], bottom: Decimal, top: Decimal) -> Figure:
    """Each series' name and swatch left of the figure, at its height in the first bar, apart enough to read."""
    at = next((index for index in range(len(series[0].billed)) if _height(series, index)), 0) if series else 0
    heights, base = [], Decimal(0)
    for each in series:
        first = _height([each], at)
        heights.append(base + first / 2)
        base += first
    pitch = (top - bottom) * _LABEL_PITCH / _WIDE_HEIGHT
    annotations, shapes = [], []
    for each, height in zip(series, spread(heights, pitch, bottom, top), strict=True):
        y = formats.exact(height)
        annotations.append(
            {
                "xref": "paper",
                "x": 0,
                "xanchor": "right",
                "xshift": -16,
                "yref": "y",
                "y": y,
                "yanchor": "middle",
                "text": _clipped(each.label),
                "showarrow": False,
                "font": {"color": "token:ink-2", "size": 11},
            }
        )
        shapes.append(
            {
                "type": "rect",
                "xref": "paper",
                "xsizemode": "pixel",
                "xanchor": 0,
                "x0": -12,
                "x1": -5,
                "yref": "y",
                "ysizemode": "pixel",
                "yanchor": y,
                "y0": -4,
                "y1": 4,
                "fillcolor": f"slot:{each.slot}",
                "line": {"color": f"slot:{each.slot}:line", "width": 1},
            }
        )
    return {"annotations": annotations, "shapes": shapes}


def _height(series: Sequence[Series], index: int) -> Decimal:
    """How far the stack of these series reaches up in one bucket."""
    parts = [part for each in series for part in (each.billed[index], each.estimated[index])]
    return sum((part for part in parts if part is not None and part > 0), Decimal(0))


def spread(heights: Sequence[Decimal], pitch: Decimal, bottom: Decimal, top: Decimal) -> list[Decimal]:
    """`heights` (ascending), moved to be `pitch` apart and, where there is room for that, within [bottom, top]."""
    placed: list[Decimal] = []
    for height in heights:
        lowest = placed[-1] + pitch if placed else bottom + pitch / 2
        placed.append(max(height, lowest))
    highest = top - pitch / 2
    for index in range(len(placed) - 1, -1, -1):
        if placed[index] <= highest:
            break
        placed[index] = highest
        highest -= pitch
    return placed


def _clipped(label: str, limit: int = 17) -> str:
    text = _escaped(label)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def sparkline(values: Sequence[Decimal | None], width: int = 200, height: int = 28) -> str:
    """SVG path data of a line from zero over `values`; unknown ones leave a gap. '' when there is nothing to draw."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(Decimal(0), *known), max(Decimal(0), *known)
    if low == high:
        high = Decimal(1)
    parts, joined = [], False
    for index, value in enumerate(values):
        if value is None:
            joined = False
            continue
        x = Decimal(2) + Decimal(index) * (width - 4) / max(1, len(values) - 1)
        y = Decimal(3) + (high - value) * (height - 6) / (high - low)
        parts.append(f"{'L' if joined else 'M'}{x:.1f} {y:.1f}")
        joined = True
    return " ".join(parts)
