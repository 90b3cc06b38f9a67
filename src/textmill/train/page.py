"""The frame of a page that stands alone: style, switches without a script, escaped text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

SCALES = {"linear": "linear", "logy": "log y", "log": "log both"}
SMOOTHINGS = {"0": "none", "1": "1 %", "2": "5 %"}


def page(title: str, sections: Sequence[str]) -> str:
    """Put sections under a title into a whole page; the title is escaped here, sections by whoever made them."""
    name = html.escape(title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{name}</h1>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Figures in boxes, each with its name."""
    boxes = "".join(f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>" for key, value in items)
    return f'<dl class="facts">{boxes}</dl>'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> str:
    """A table of text; the first columns stand on the left, figures on the right."""
    head = "".join(
        f'<th scope="col"{" class=text" if 0 < i < text_columns else ""}>{html.escape(heading)}</th>'
        for i, heading in enumerate(headings)
    )
    body = "".join(
        "<tr>" + "".join(_cell(html.escape(cell), i, text_columns) for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, column: int, text_columns: int) -> str:
    if column == 0:
        return f'<th scope="row">{text}</th>'
    return f'<td class="text">{text}</td>' if column < text_columns else f"<td>{text}</td>"


def switched(axes: Mapping[str, str], figures: Sequence[str]) -> str:
    """Figures below switches for the x axis, its scale and the smoothing.

    Args:
        axes: names of the x axes by the keys that ``by_axis`` takes; the first is shown at first.
        figures: made with ``figure``.
    """
    groups = (
        ("x", "over", axes, next(iter(axes))),
        ("s", "scale", SCALES, "linear"),
        ("m", "smoothing", SMOOTHINGS, "1"),
    )
    inputs, labels = [], []
    for group, title, choices, first in groups:
        buttons = ""
        for key, name in choices.items():
            checked = " checked" if key == first else ""
            inputs.append(
                f'<input type="radio" name="{group}" id="{group}-{key}" aria-label="{title} {name}"{checked}>'
            )
            buttons += f'<label for="{group}-{key}">{html.escape(name)}</label>'
        labels.append(f'<div class="group"><span>{title}</span>{buttons}</div>')
    return (
        f'<section class="curves">{"".join(inputs)}<div class="controls">{"".join(labels)}</div>'
        f'<div class="charts">{"".join(figures)}</div></section>'
    )


def figure(title: str, by_axis: Mapping[str, str | Mapping[str, str]], *, is_main: bool = False) -> str:
    """A figure with a chart for each x axis, and for each scale where a chart has scales; nothing without a chart."""
    parts = []
    for key, chart in by_axis.items():
        inner = (
            chart if isinstance(chart, str) else "".join(f'<div class="s s-{s}">{c}</div>' for s, c in chart.items())
        )
        drawn = chart if isinstance(chart, str) else "".join(chart.values())
        if drawn:
            parts.append(f'<div class="x x-{key}">{inner}</div>')
    if not parts:
        return ""
    main = ' class="main"' if is_main else ""
    return f"<figure{main}><figcaption>{html.escape(title)}</figcaption>{''.join(parts)}</figure>"


def _switch_style() -> str:
    """Show what the checked switches ask for, and mark their labels."""
    keys = [("x", key) for key in ("step", "tokens", "time", "flops")] + [("s", key) for key in SCALES]
    shown = ",".join(f"#{group}-{key}:checked~.charts .{group}-{key}" for group, key in keys)
    keys += [("m", key) for key in SMOOTHINGS]
    chosen = ",".join(f'#{group}-{key}:checked~.controls [for="{group}-{key}"]' for group, key in keys)
    focused = ",".join(f'#{group}-{key}:focus-visible~.controls [for="{group}-{key}"]' for group, key in keys)
    return (
        f"div.x,div.s{{display:none}}{shown}{{display:block}}"
        f"{chosen}{{background:var(--ink);color:var(--paper);border-color:var(--ink)}}"
        f"{focused}{{outline:2px solid #56b4e9}}"
        "#m-0:checked~.charts :is(.smooth-1,.smooth-2),#m-1:checked~.charts .smooth-2,#m-2:checked~.charts .smooth-1"
        "{display:none}#m-0:not(:checked)~.charts .raw{stroke-opacity:.28}"
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606b;--line:#d7dce2;--paper:#fff;--panel:#f6f7f9;--band:#e9edf2}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a3adb9;--line:#343b44;--paper:#14171b;--panel:#1c2025;
--band:#262c34}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1.5rem 1.1rem 4rem}
h1{font-size:1.8rem;margin:0 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem}p{color:var(--soft);margin:.25rem 0 1rem;max-width:46rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:0}
.facts div{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.5rem .75rem}
dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-size:1.1rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.3rem .9rem .3rem 0;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,.text{text-align:left}tbody th{font-weight:500}thead th{color:var(--soft);font-weight:500}
.curves>input{position:absolute;opacity:0;pointer-events:none}
.controls{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;margin:.5rem 0 1rem}
.group{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem;font-size:.85rem}.group span{color:var(--soft)}
.group label{border:1px solid var(--line);border-radius:.4rem;padding:.15rem .55rem;cursor:pointer}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
figure{margin:0;min-width:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.7rem}
figure.main{grid-column:1/-1}figcaption{font-weight:600;margin-bottom:.4rem}
.plot{position:relative;height:12rem;margin:1.1rem .6rem 1.4rem 3.1rem}.main .plot{height:20rem}.plot.low{height:5rem}
.plot svg{position:absolute;inset:0;width:100%;height:100%;overflow:visible}
polyline,path{fill:none;stroke-width:1.7;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.raw{stroke-width:1.1}.dot{stroke-width:7;stroke-linecap:round}
.grid,.mark{stroke:var(--line);vector-effect:non-scaling-stroke}.mark{stroke:var(--soft);stroke-dasharray:3 3}
.band{fill:var(--band)}.plot span{position:absolute;font-size:.72rem;line-height:1;color:var(--soft);white-space:nowrap}
.y{right:calc(100% + .4rem);transform:translateY(50%)}.x:is(span){top:calc(100% + .45rem);transform:translateX(-50%)}
.plot .spike{top:0;transform:translateX(-50%);color:var(--ink);cursor:help}
.plot .stage{bottom:calc(100% + .25rem);max-width:7rem;overflow:hidden;text-overflow:ellipsis;line-height:1.3}
.axes{display:flex;justify-content:space-between;gap:1rem;font-size:.72rem;color:var(--soft)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1rem;margin:.4rem 0 0;padding:0;font-size:.82rem;
font-variant-numeric:tabular-nums}.legend i{display:inline-block;width:1.2rem;border-top:3px solid;margin-right:.35rem;
vertical-align:middle}
pre{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow:auto;margin:.4rem 0;
font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}summary{cursor:pointer}
details{margin:.3rem 0}ul.plain{padding-left:1.1rem;margin:.4rem 0}
@media(max-width:40rem){.main .plot{height:15rem}main{padding:1rem .7rem 3rem}}
""" + _switch_style()
