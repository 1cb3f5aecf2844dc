"""A launch as HTML, for notebooks: its state, why it ended, its phases, and its last lines."""

import html
from collections.abc import Sequence

from tracetail.client.info import LaunchInfo
from tracetail.client.lines import Line

_COLOURS = {"ready": "#1a7f37", "starting": "#9a6700", "stopping": "#9a6700", "stopped": "#656d76"}
_FAILED = "#cf222e"


def launch_html(info: LaunchInfo, lines: Sequence[Line], panel_url: str) -> str:
    """Return a fragment of HTML; every text of the server is escaped. panel_url: empty for no link."""
    colour = _COLOURS.get(info.state, _FAILED)
    url = f" at {_link(info.url)}" if info.url else ""
    head = (
        f"<div><b>{_text(info.service or info.model_name)}</b> "
        f'<b style="color:{colour}">{_text(info.state)}</b>{url}<br>'
        f"<small>launch {_text(info.launch_id)}, trace {_text(info.trace_id)}, {_text(info.host)}</small></div>"
    )
    parts = [head]
    if info.cause:
        parts.append(f'<div style="color:{_FAILED}"><b>{_text(info.cause)}</b></div>')
    if info.hint:
        parts.append(f"<div>hint: {_text(info.hint)}</div>")
    if info.phases:
        seconds = (f"{phase.name} {phase.seconds:.1f} s" if phase.seconds else phase.name for phase in info.phases)
        parts.append(f"<div><small>{_text(', '.join(seconds))}</small></div>")
    if lines:
        shown = "\n".join(_line(line) for line in lines)
        parts.append(f'<pre style="max-height:20em;overflow:auto">{shown}</pre>')
    if panel_url:
        parts.append(f"<div>{_link(panel_url)}</div>")
    return f"<div>{''.join(parts)}</div>"


def _line(line: Line) -> str:
    text = _text(str(line))
    return f'<span style="color:{_FAILED}">{text}</span>' if line.is_error else text


def _link(url: str) -> str:
    return f'<a href="{_text(url)}" target="_blank" rel="noopener">{_text(url)}</a>'


def _text(text: str) -> str:
    return html.escape(text)
