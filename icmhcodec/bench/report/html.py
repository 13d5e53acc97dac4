"""A report as one self-contained page: no scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from icmhcodec.bench.report.examples import Example
from icmhcodec.bench.report.plot import (
    COLORS,
    GRID,
    INK,
    PAPER,
    PROFILE_COLORS,
    SPARE,
    color,
    dashes,
    inline,
    panels,
)
from icmhcodec.bench.report.words import (
    amount,
    compared,
    curve_names,
    entry,
    headline,
    is_own,
    is_task,
    label,
    main_metric,
    metric_names,
    notes,
    number,
    of_clips,
    percent,
    ranking,
    ranking_title,
    seconds,
    span,
    speed,
    title,
)

CSS = Path(__file__).with_name("page.css")
# Keys of the times in a row, what a table calls them, what they are, and how they are shown.
PICTURE_TIMES = (
    ("encode_s", "decode_s"),
    ("encode a picture", "decode a picture"),
    "Median over pictures, from the fastest to the slowest point",
    seconds,
)
CLIP_TIMES = (
    ("encode_fps", "decode_fps"),
    ("encode, frames/s", "decode, frames/s"),
    "All frames over all time, from the slowest to the fastest point",
    speed,
)
DASHES = {"-": "", "--": "6 3", ":": "2 3"}


def write(path: str | Path, report: Mapping[str, Any], examples: Sequence[Example] = ()) -> None:
    """Write a report (`summary.summarise`) and examples (`examples.draw`) as one page of HTML."""
    sections = [
        _header(report),
        _charts(report),
        _section("BD-rate", _rates(report)),
        _section("Examples at about equal bits", _examples(examples)),
        _section("Time and memory", _times(report)),
        _section("How to read this", _list(notes(report))),
        _section("Failures", _failures(report)),
        _section("All points", _points(report)),
        _section("Conditions", _conditions(report)),
    ]
    name = escape(f"icmh bench: {report['dataset']['name']}")
    Path(path).write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>\n{CSS.read_text(encoding='utf-8')}{_dark_lines()}</style>\n"
        f"</head>\n<body>\n<main>\n{''.join(sections)}</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _section(name: str, content: str) -> str:
    return f"<section>\n<h2>{escape(name)}</h2>\n{content}</section>\n" if content else ""


def _header(report: Mapping[str, Any]) -> str:
    data, network = report["dataset"], report["network"]
    facts = [
        ("", amount(report)),
        ("", f"{data['pixels'] / 1e6:.1f} megapixels"),
        ("network ", network["id"] if network else "none"),
        ("codecs ", str(len({row["codec"] for row in report["rows"]} - {"original"}))),
    ]
    spans = "".join(f"<span>{escape(a)}<b>{escape(b)}</b></span>" for a, b in facts)
    return (
        f'<header>\n<p class="kind">icmh bench · {escape(data["name"])}</p>\n'
        f'<h1>{escape(headline(report))}</h1>\n<p class="facts">{spans}</p>\n</header>\n'
    )


def _charts(report: Mapping[str, Any]) -> str:
    figures = "".join(
        f'<figure class="card" role="img" aria-label="{escape(title(metric))} over bits per pixel">'
        f"{_svg(inline(report, metric))}</figure>\n"
        for metric in panels(report)
    )
    items = "".join(_legend_item(curve, rate) for curve, rate in ranking(report))
    wide = "" if len(panels(report)) % 2 else " wide"  # else it fills the grid's last place
    head = f'<li class="head">{escape(ranking_title(report))}, fewest bits first</li>'
    return (
        f'<section>\n<h2>Curves</h2>\n<div class="charts">\n{figures}'
        f'<ul class="legend card{wide}">{head}{items}</ul>\n</div>\n'
        f'<p class="dim">{_lines(report)}</p>\n</section>\n'
    )


def _lines(report: Mapping[str, Any]) -> str:
    """What the lines of the charts are."""
    thick = "Thick lines: what a task needs of the file. "
    if of_clips(report):
        return f"{thick}Bands: 95 % intervals over clips."
    return (
        f"{thick}Dashed: pictures shrunk to the network's input before coding, bits over the "
        "original's pixels. Bands: 95 % intervals over pictures."
    )


def _svg(text: str) -> str:
    """Matplotlib's SVG, sized by the page and with the page's colours."""
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    # Names of parts that nothing refers to would clash with those of the next chart.
    kept = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in kept or ":" in m[1] else "", text)
    for shade, name in ((INK, "--ink"), (PAPER, "--paper"), (GRID, "--grid")):
        text = text.replace(shade, f"var({name})")
    for shade in _shades():
        text = text.replace(shade, _line_color(shade))
    return text


def _shades() -> list[str]:
    return list(dict.fromkeys([*COLORS.values(), *PROFILE_COLORS.values(), *SPARE]))


def _line_color(shade: str) -> str:
    return f"var(--l{shade[1:]}, {shade})"


def _dark_lines() -> str:
    """Colours of the lines on dark ground: mixed with a third of white."""

    def lighter(shade: str) -> str:
        parts = [int(shade[place : place + 2], 16) for place in (1, 3, 5)]
        return "#" + "".join(f"{part + (255 - part) // 3:02x}" for part in parts)

    values = " ".join(f"--l{shade[1:]}: {lighter(shade)};" for shade in _shades())
    return f"@media (prefers-color-scheme: dark) {{ :root {{ {values} }} }}\n"


def _legend_item(curve: str, rate: str) -> str:
    width = 3 if is_task(curve) else 1.75
    fill = _line_color(color(curve)) if is_task(curve) else "var(--paper)"
    stroke = f'stroke="{_line_color(color(curve))}"'
    return (
        f'<li><svg width="34" height="12" aria-hidden="true"><path d="M0 6h34" {stroke} '
        f'stroke-width="{width}" stroke-dasharray="{DASHES[dashes(curve)]}"/>'
        f'<circle cx="17" cy="6" r="3" fill="{fill}" {stroke} stroke-width="1.5"/></svg>'
        f'<span class="name" title="{escape(curve)}">{escape(label(curve))}</span>'
        f"<b>{escape(rate)}</b></li>"
    )


def _table(caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    about = f'<p class="about">{escape(caption)}</p>' if caption else ""
    return (
        f'<div class="card">{about}<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{cells}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table></div></div>\n"
    )


def _line(curve: str, cells: Iterable[str], kind: str = "", name: str | None = None) -> str:
    classes = " ".join(part for part in (kind, "own" if is_own(curve) else "") if part)
    shown = escape(label(curve) if name is None else name).replace("+", "<wbr>+")
    return f'<tr class="{classes}"><th scope="row">{shown}</th>{"".join(cells)}</tr>\n'


def _rates(report: Mapping[str, Any]) -> str:
    main = main_metric(report)
    metrics = list(dict.fromkeys(found["metric"] for found in report["bd"]))
    first = [name for name in (main, "psnr") if name in metrics]
    shown = "".join(_rate_table(report, name) for name in dict.fromkeys(first) if name)
    others = [name for name in metrics if name not in first]
    if others:
        tables = "".join(_rate_table(report, name) for name in others)
        names = ", ".join(title(name) for name in others)
        shown += f"<details><summary>{escape(names)}</summary>{tables}</details>\n"
    return shown + _reasons(report)


def _rate_table(report: Mapping[str, Any], metric: str) -> str:
    curves, anchors = compared(report, metric)
    rows = [
        _line(curve, (_rate(entry(report, curve, anchor, metric)) for anchor in anchors))
        for curve in curves
    ]
    caption = (
        f"Bits for the same {title(metric)} against each anchor, with 95 % intervals; "
        "in brackets the gain in the metric at the same bits"
    )
    return _table(caption, ["curve", *(f"to {label(name)}" for name in anchors)], rows)


def _rate(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "<td></td>"
    rate, gain = found["bd_rate_percent"], found["bd_metric"]
    low, high = found["ci95"] or (0, 0)
    kind = "less" if high < 0 else "more" if low > 0 else ""
    small = span(found["ci95"]) if found["ci95"] else ""
    small += "" if gain is None else f" ({gain:+.2f})".replace("-", "\N{MINUS SIGN}")
    return (
        f'<td class="{kind}" title="{escape(found["note"])}">{escape(percent(rate))}'
        f"<small>{escape(small.strip())}</small></td>"
    )


def _reasons(report: Mapping[str, Any]) -> str:
    """Why numbers are missing, and which points were not interpolated."""
    lines = [
        f"{label(found['curve'])} to {label(found['anchor'])}, {title(found['metric'])}: "
        f"{found['note']}."
        for found in report["bd"]
        if found["note"]
    ]
    if not lines:
        return ""
    count = f"{len(lines)} note{'s' * (len(lines) != 1)} on these numbers"
    return f"<details><summary>{count}</summary>{_list(lines)}</details>\n"


def _list(lines: Iterable[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>\n'


def _examples(examples: Sequence[Example]) -> str:
    return "".join(
        f'<h3>{escape(sample)}</h3>\n<div class="strip" tabindex="0">'
        f"{''.join(map(_example, group))}</div>\n"
        for sample, group in groupby(examples, key=lambda example: example.sample)
    )


def _example(example: Example) -> str:
    data = base64.b64encode(example.data).decode("ascii")
    name = label(example.curve)
    size = f"{example.bpp:.3f} bpp"
    found = f"; {example.caption}" if example.caption else ""
    return (
        f'<figure><img src="data:{example.mime};base64,{data}" width="{example.width}" '
        f'height="{example.height}" loading="lazy" alt="{escape(f"{example.sample}, {name}")}">'
        f"<figcaption><b>{escape(name)}</b>{escape(size + found)}</figcaption></figure>\n"
    )


def _times(report: Mapping[str, Any]) -> str:
    keys, heads, what, show = CLIP_TIMES if of_clips(report) else PICTURE_TIMES
    rows = []
    for curve in curve_names(report):
        own = [row for row in report["rows"] if row["curve"] == curve]
        values = [_range([row[key] for row in own], show) for key in keys]
        values.append(f"{max(row['peak_mb'] for row in own):.0f}")
        rows.append(_line(curve, (f"<td>{escape(value)}</td>" for value in values)))
    machine = report["machine"]
    caption = f"{what}; {machine['cores']} cores of {machine['processor']}"
    return _table(caption, ["curve", *heads, "peak MB"], rows)


def _range(values: Sequence[float], show: Callable[[float], str]) -> str:
    low, high = show(min(values)), show(max(values))
    return low if low == high else f"{low} to {high}"


def _failures(report: Mapping[str, Any]) -> str:
    lines = [
        ", ".join(str(value) for key, value in found.items() if key != "message" and value)
        + f": {found.get('message', '')}"
        for found in report["failures"]
    ]
    return _list(lines) if lines else ""


def _points(report: Mapping[str, Any]) -> str:
    metrics = metric_names(report)
    rows = []
    for curve, group in groupby(report["rows"], key=lambda row: row["curve"]):
        for place, row in enumerate(group):
            values = [f"{row['point']:g}", f"{row['bpp']:.4f}", f"{row['bytes']:,}"]
            cells = [f"<td>{escape(value)}</td>" for value in values]
            cells += [_value(name, row) for name in metrics]
            first = place == 0
            rows.append(_line(curve, cells, "first" if first else "", curve if first else ""))
    heads = ["curve", "point", "bpp", "bytes", *map(title, metrics)]
    count = f"{len(rows)} points"
    return f"<details><summary>{count}</summary>{_table('', heads, rows)}</details>\n"


def _value(name: str, row: Mapping[str, Any]) -> str:
    ci95 = row["ci95"].get(name)
    small = f"<small>{number(name, ci95[0])} to {number(name, ci95[1])}</small>" if ci95 else ""
    return f"<td>{escape(number(name, row['metrics'].get(name)))}{small}</td>"


def _conditions(report: Mapping[str, Any]) -> str:
    network, data = report["network"], report["dataset"]
    blocks = {
        "Machine": report["machine"],
        "Data and network": {
            "data set": f"{data['name']} ({data['layout']})",
            "network": network["id"] if network else "none",
            "fingerprint": network["fingerprint"] if network else "",
        },
        "Settings": report["settings"],
        "Versions": report["versions"],
        **{f"Codec {name}": kept for name, kept in report["fingerprints"].items()},
    }
    cards = "".join(
        f'<div class="card"><h3>{escape(name)}</h3>{_facts(values)}</div>\n'
        for name, values in blocks.items()
        if values
    )
    command = (
        f'<div class="card scroll" tabindex="0"><pre>{escape(report["command"])}</pre></div>\n'
    )
    return f'{command}<div class="columns">\n{cards}</div>\n'


def _facts(values: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        return ", ".join(map(label, value)) if isinstance(value, list) else str(value)

    items = (
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(text(value))}</dd>"
        for key, value in values.items()
    )
    return f"<dl>{''.join(items)}</dl>"
