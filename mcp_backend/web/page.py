"""The frame of a page: one file, no script, nothing from outside, light and dark, as narrow as a phone."""

import base64
import hashlib
import html
import re
import unicodedata

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#1d2129;--soft:#5c6370;--line:#e2dfd9;--code:#f4f2ee;
--safe:#1a7f4b;--warn:#9a6300;--needs_approval:#6941c6;--reject:#c0271d;--info:#4b5563;--writes:#d98a00;
--reads:#d03a2f;--ddl:#5b7fb5;--add:#1a7f4b;--del:#c0271d}
@media(prefers-color-scheme:dark){:root{--paper:#14161a;--card:#1c1f25;--ink:#e6e7ea;--soft:#9aa1ad;--line:#31353d;
--code:#23272e;--safe:#4cc38a;--warn:#e2b340;--needs_approval:#b094f5;--reject:#ff7369;--info:#9aa1ad;--writes:#e2a336;
--reads:#f0635a;--ddl:#7ea2d8;--add:#4cc38a;--del:#ff7369}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif;
overflow-wrap:anywhere}
main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .4rem;font-weight:650}
h2{font-size:1.05rem;margin:2.4rem 0 .8rem;font-weight:650}
h2 small{font-weight:400;color:var(--soft);font-size:.85rem;margin-left:.5rem}
p{margin:.3rem 0}
a{color:inherit}
code,pre{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--code);border-radius:6px;padding:.6rem .75rem;margin:.5rem 0;white-space:pre-wrap}
.soft{color:var(--soft)}
.small{font-size:.85rem}
.badge{display:inline-block;padding:.12rem .6rem;border-radius:99px;font-weight:600;font-size:.85rem;
border:1.5px solid currentColor}
.safe{color:var(--safe)}.warn{color:var(--warn)}.needs_approval{color:var(--needs_approval)}
.reject{color:var(--reject)}.info{color:var(--info)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:1.2rem 0 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.7rem .85rem}
.tile b{display:block;font-size:1.2rem;font-weight:650;line-height:1.3}
.card{margin:.6rem 0;border-left:4px solid var(--line)}
.card.reject-edge{border-left-color:var(--reject)}.card.needs_approval-edge{border-left-color:var(--needs_approval)}
.card.warn-edge{border-left-color:var(--warn)}.card.info-edge{border-left-color:var(--info)}
.head{display:flex;flex-wrap:wrap;gap:.3rem .7rem;align-items:baseline}
.head b{font-weight:650}
.remedy{margin-top:.35rem}
.remedy:before{content:"Instead: ";font-weight:600}
.chips span{display:inline-block;background:var(--code);border-radius:5px;padding:0 .45rem;margin:.15rem .3rem 0 0;
font-size:.8rem}
details{margin:.35rem 0 0}
summary{cursor:pointer;color:var(--soft);font-size:.85rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .8rem;margin:.4rem 0;font-size:.85rem}
dt{color:var(--soft)}dd{margin:0}
.lane{margin:.75rem 0 0}
.lane .head{justify-content:space-between;font-size:.85rem}
svg{display:block;width:100%;height:1.5rem;background:var(--code);border-radius:4px}
.axis svg{height:1.7rem}
.axis svg{border:1px solid var(--line)}
.slot{fill:var(--card)}.slot.odd{fill:var(--code)}.slot.bad{fill:var(--reject)}
text{font:600 12px system-ui,sans-serif;fill:var(--soft)}.slot.bad+text{fill:#fff}
.b-rw{fill:var(--reads)}.b-w{fill:var(--writes)}.b-ddl{fill:var(--ddl)}.b-none{fill:var(--soft);opacity:.45}
.cut{stroke:var(--line);stroke-width:1}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:.7rem 0 0;font-size:.85rem;color:var(--soft)}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.4rem;vertical-align:-1px}
.k-rw{background:var(--reads)}.k-w{background:var(--writes)}.k-ddl{background:var(--ddl)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{font-weight:600;color:var(--soft);text-align:left}
td,th{padding:.35rem .8rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}
td.num,th.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.diff{list-style:none;margin:0;padding:.6rem .75rem;background:var(--code);border-radius:6px}
.diff li{font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;padding-left:1.2rem;text-indent:-1.2rem}
.plus{color:var(--add)}.minus{color:var(--del)}
ul.plain{margin:.3rem 0;padding-left:1.2rem}
footer{margin-top:3rem;color:var(--soft);font-size:.8rem}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""


def page(title: str, body: str, more: str = "") -> str:
    """A whole document around a body that is escaped already, with `more` style of its own."""
    return framed(title, body, STYLE + more)


def framed(title: str, body: str, style: str, script: str = "") -> str:
    """A whole document that carries its style, and its script if it has one. The policy in it lets nothing else in."""
    policy = f"default-src 'none'; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    if script:
        policy += f"; script-src {_digest(script)}"
    active = f"<script>{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n{active}</body>\n</html>\n"
    )


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def text(value: object) -> str:
    """Anything as text of a page, also inside a quoted attribute. What would not be seen, or would turn the order of
    what is seen, is written out."""
    return html.escape(_UNSEEN.sub(_written, str(value)), quote=True)


_UNSEEN = re.compile(
    r"[^\n\t -~\u00a1-\u00ac\u00ae-\uffff\U00010000-\U0010ffff]|[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def _written(match: "re.Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"


def spoken_bytes(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def spoken_ms(milliseconds: float) -> str:
    """A duration for people."""
    if milliseconds < 1:
        return "< 1 ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86_400:.3g} days"


def count(number: float) -> str:
    """A number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\u202f")


def slug(value: str) -> str:
    """A name of a class: letters, digits and underscores."""
    return re.sub(r"\W", "", unicodedata.normalize("NFKD", value), flags=re.ASCII)
