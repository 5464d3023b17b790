"""The page's HTML: its frame, its style, and the parts that its sections are made of.

The page loads nothing and runs nothing, and a Content-Security-Policy says so to
the browser. Texts are escaped here; what is called HTML is written as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def page(title: str, html: str) -> str:
    """The whole page."""
    return _PAGE.format(title=escape(title), style=_STYLE, body=html)


def section(title: str, *html: str, kind: str = "") -> str:
    """What stands under a heading; empty parts are left out."""
    inner = "\n".join(part for part in html if part)
    return f'<section class="{kind}">\n<h2>{escape(title)}</h2>\n{inner}\n</section>'


def items(html: Iterable[str], attributes: str = "") -> str:
    """A list."""
    inner = "\n".join(f"<li>{item}</li>" for item in html)
    return f"<ul {attributes}>\n{inner}\n</ul>"


def figure(html: str, caption: str) -> str:
    """A picture or a plot; both are HTML."""
    return f"<figure>{html}<figcaption>{caption}</figcaption></figure>"


def figures(title: str, html: Iterable[str], kind: str, explained: str = "") -> str:
    """Figures beside each other, under a title; all of it HTML."""
    inner = "\n".join(html)
    return f'<h3>{title}</h3>\n{explained}\n<div class="{kind}">\n{inner}\n</div>'


def code(name: str) -> str:
    """A name that may break after its colon."""
    return f"<code>{escape(name).replace(':', ':<wbr>')}</code>"


def header(*titles: str) -> str:
    """The one row of headers that a simple table has."""
    cells = (f'<th scope="col">{escape(title)}</th>' for title in titles)
    return f"<tr>{''.join(cells)}</tr>"


def cells(*values: str) -> list[str]:
    """Of a row in a simple table."""
    return [f"<td>{escape(value)}</td>" for value in values]


def table(
    caption: str, head: str, rows: Iterable[tuple[str, Sequence[str]]], kind: str = ""
) -> str:
    """A table that scrolls in its own frame, which the keyboard reaches too.

    Args:
        caption: Its first sentence names the frame.
        head: Rows of headers, as HTML.
        rows: A header each and its `td` elements, as HTML.
        kind: A class of the style.
    """
    body = "\n".join(
        f'<tr><th scope="row"><div>{name}</div></th>{"".join(cells)}</tr>' for name, cells in rows
    )
    short = escape(caption.split(".")[0])
    return (
        f'<div class="wide {kind}" role="region" tabindex="0" aria-label="{short}">\n<table>\n'
        f"<caption><span>{escape(caption)}</span></caption>\n<thead>{head}</thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pyfd evaluation: {title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""

_STYLE = """\
:root { color-scheme: light; --ink: #1b1b1b; --soft: #555; --line: #d5d5d5; --bad: #9c1c00; }
* { box-sizing: border-box; }
html { font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
body { margin: 0; color: var(--ink); background: #fff; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
p, ul, dl { max-width: 44rem; margin: .5rem 0; }
li { margin: .35rem 0; overflow-wrap: anywhere; }
ul { padding-left: 1.3rem; }
code { font: .92em ui-monospace, "Liberation Mono", monospace; overflow-wrap: anywhere; }
.warnings { border: 2px solid var(--bad); border-left-width: .6rem; background: #fff6f3;
  padding: .25rem 1.25rem 1rem; margin: 1.5rem 0; }
.warnings h2 { color: var(--bad); margin-top: .75rem; }
.warnings ul { max-width: none; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide:focus-visible { outline: 2px solid #0b4f8a; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
caption span { display: block; position: sticky; left: 0; width: max-content;
  max-width: min(44rem, 100vw - 2rem); }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
thead th { vertical-align: bottom; font-weight: 600; }
thead th[colspan] { text-align: center; border-left: 1px solid var(--line); }
thead th[colspan] span { position: sticky; left: 11rem; right: .6rem; }
tbody th { font-weight: 400; white-space: normal; }
tbody th div { width: max-content; max-width: 15rem; overflow-wrap: anywhere; }
tbody th, thead tr:first-child th:first-child { position: sticky; left: 0; background: #fff;
  border-right: 1px solid var(--line); text-align: left; z-index: 1; }
td small { display: block; color: #404040; font-size: .75rem; line-height: 1.2; }
.row { display: inline-block; width: 1.3rem; color: var(--soft); font-size: .8rem; }
.a0 { background: #f3b48f; } .a1 { background: #f8cdb3; } .a2 { background: #fbe1d1; }
.a3 { background: #fdf1ea; } .empty { color: var(--soft); text-align: center; }
.words td, .words thead th { text-align: left; }
.words td { white-space: normal; min-width: 5rem; }
.short thead th, .short small { white-space: normal; }
.numbered tbody th div { padding-left: 1.6rem; text-indent: -1.6rem; }
.numbered .row { text-indent: 0; }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.5rem; max-width: none; padding: 0;
  list-style: none; }
.key svg { width: 3rem; height: 1.2rem; vertical-align: middle; }
.panels { display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(4, 1fr); }
figure { margin: 0; break-inside: avoid; }
.panels figure { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.panels figcaption { font-weight: 600; font-size: .9rem; }
.pictures figcaption { font-size: .85rem; line-height: 1.35; padding-top: .3rem; }
figcaption { overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: inherit !important; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.25rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  html { font-size: 15px; }
  .pictures { grid-template-columns: 1fr 1fr; }
  th, td { padding: .3rem .4rem; }
  tbody th div { max-width: 7.5rem; }
  .words tbody th div { max-width: 5.5rem; }
  thead th[colspan] span { left: 9rem; }
}
@media print {
  html { font-size: 9pt; }
  main { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  caption span { width: auto; max-width: none; }
  caption span, thead th[colspan] span { position: static; }
  .wide th, .wide td { position: static; padding: .15rem .25rem; }
  tr, .warnings { break-inside: avoid; }
  h2, h3, h3 + p, .key { break-after: avoid; }
  .panels { grid-template-columns: repeat(3, 1fr); }
  td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
