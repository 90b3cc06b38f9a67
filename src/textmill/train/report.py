"""``report.html``: a run on one page, drawn from its log and configuration alone, no script and no network."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from textmill.base import units
from textmill.base.events import Event, read_events
from textmill.base.files import write_file
from textmill.train.chart import Series, line_chart
from textmill.train.run import CONFIG, EVENTS

REPORT = "report.html"
_SMALL = 480


def write_report(folder: Path) -> Path:
    """Draw a run's report from what its folder holds; returns the page's path.

    Raises:
        StorageError: the disk is full.
    """
    config = json.loads((folder / CONFIG).read_text())
    events = read_events(folder / EVENTS)
    path = folder / REPORT
    write_file(path, _page(folder.name, config, events))
    return path


def _page(name: str, config: dict[str, Any], events: Sequence[Event]) -> str:
    steps = list({event.step: event for event in events if event.kind == "step"}.values())
    evals = list({event.step: event for event in events if event.kind == "eval"}.values())
    scores = next((e.fields["scores"] for e in reversed(events) if e.kind == "validation"), {})
    sample = next((e.fields for e in reversed(events) if e.kind == "sample"), None)
    sections = [_facts(config, steps), _charts(steps, evals)]
    if scores:
        sections.insert(1, _scores(scores))
    if sample:
        sections.append(_sample(sample))
    sections.append(_configuration(config))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(name)} · textmill run</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{html.escape(name)}</h1>\n" + "\n".join(sections) + "\n</main></body></html>\n"
    )


def _facts(config: dict[str, Any], steps: Sequence[Event]) -> str:
    plan = config["plan"]
    stages = plan.get("stages") or [plan]  # runs of format 1 have one
    contexts = dict.fromkeys(f"{stage['context']:,}" for stage in stages)
    num_steps = sum(stage["num_steps"] for stage in stages)
    facts = [("precision", plan["precision"]), ("context", f"{', '.join(contexts)} tokens")]
    if steps:
        last = steps[-1].fields
        rates = sorted(event.fields["tokens_per_s"] for event in steps)
        facts = [
            ("steps", f"{steps[-1].step:,} of {num_steps:,}"),
            ("tokens seen", units.count(last["tokens"])),
            ("median speed", f"{units.count(rates[len(rates) // 2])} tokens/s"),
            ("loss, last 20 steps", f"{median(e.fields['loss'] for e in steps[-20:]):.3f} nats/token"),
            *facts,
        ]
    items = "".join(f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd></div>" for key, value in facts)
    return f'<dl class="facts">{items}</dl>'


def _scores(scores: dict[str, dict[str, float]]) -> str:
    rows = []
    for name, score in scores.items():
        size = score["num_bytes"]
        model, gzip, xz = (score[key] / size for key in ("model_bits", "gzip_bits", "xz_bits"))
        rows.append(
            f"<tr><th>{html.escape(name)}</th><td>{score['num_documents']:,}</td><td>{units.num_bytes(size)}</td>"
            f"<td><b>{model:.3f}</b></td><td>{gzip:.3f}</td><td>{xz:.3f}</td></tr>"
        )
    return (
        "<h2>Held-out text, bits per byte</h2><p>Less is better. Text the model never saw; each document is scored, "
        "and compressed, by itself, so short ones carry a compressor's header each.</p>"
        "<table><thead><tr><th>source</th><th>documents</th><th>text</th><th>this model</th><th>gzip -9</th>"
        f"<th>xz -9</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _charts(steps: Sequence[Event], evals: Sequence[Event]) -> str:
    if not steps:
        return "<p>No step has been taken yet.</p>"
    names = sorted({name for event in evals for name in event.fields["bits_per_byte"]})
    held_out = [
        Series(
            f"held out: {name}",
            [(e.step, e.fields["bits_per_byte"][name]) for e in evals if name in e.fields["bits_per_byte"]],
        )
        for name in names
    ]
    train = Series("training", [(event.step, event.fields["bits_per_byte"]) for event in steps])
    charts = [
        ("Loss in bits per byte", line_chart([train, *held_out], "bits per byte", "step")),
        (
            "Learning rate",
            line_chart([Series("", [(e.step, e.fields["lr"]) for e in steps])], "learning rate", "step", _SMALL),
        ),
        (
            "Gradient norm",
            line_chart(
                [Series("", [(e.step, e.fields["grad_norm"]) for e in steps])], "norm before clipping", "step", _SMALL
            ),
        ),
        (
            "Speed",
            line_chart([Series("", [(e.step, e.fields["tokens_per_s"]) for e in steps])], "tokens/s", "step", _SMALL),
        ),
    ]
    figures = "".join(f"<figure><figcaption>{title}</figcaption>{svg}</figure>" for title, svg in charts)
    return f'<h2>Curves</h2><div class="charts">{figures}</div>'


def _sample(sample: dict[str, Any]) -> str:
    return (
        "<h2>What it writes</h2><p>The prompt is in bold.</p>"
        f"<pre><b>{html.escape(sample['prompt'])}</b>{html.escape(sample['text'])}</pre>"
    )


def _configuration(config: dict[str, Any]) -> str:
    return (
        "<h2>Configuration</h2><details><summary>the recipe, the plan and the environment</summary>"
        f"<pre>{html.escape(json.dumps(config, indent=2))}</pre></details>"
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6470;--line:#d7dce2;--paper:#fff;--panel:#f6f7f9}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4b0;--line:#343b44;--paper:#14171b;--panel:#1c2025}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.9rem;margin:0 0 1rem}
h2{font-size:1.2rem;margin:2.5rem 0 .5rem}p{color:var(--soft);margin:.25rem 0 1rem;max-width:46rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.75rem;margin:0}
.facts div{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem}
dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.35rem .9rem .35rem 0;text-align:right;
border-bottom:1px solid var(--line)}th:first-child{text-align:left}thead th{color:var(--soft);font-weight:500}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.25rem}
figure{margin:0;background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.75rem}
figure:first-child{grid-column:1/-1;overflow-x:auto}figure:first-child svg{min-width:44rem}
figcaption{font-weight:600;margin-bottom:.25rem}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .grid{stroke:var(--line)}
pre{background:var(--panel);border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow:auto;
font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap}summary{cursor:pointer}
"""
