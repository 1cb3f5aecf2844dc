"""Writes the configuration reference: `python -m tracetail.cli.reference [zh] > docs/configuration.md`."""

import json
import sys
from typing import Any

from tracetail.cli.chinese import settings as chinese
from tracetail.cli.configuration import Configuration
from tracetail.cli.language import both, chosen
from tracetail.cli.options import REQUIRED, Option, header_of, keys_inside, tables

_HEAD = """\
# Configuration

One machine needs no configuration. Otherwise there is one TOML file, the first of these that exists:

1. what `--config FILE` names,
2. what `$TRACETAIL_CONFIG` names,
3. `~/.config/tracetail/tracetail.toml`,
4. `/etc/tracetail/tracetail.toml`.

Each key can also be set by an environment variable, which takes precedence over the file: `[loki] url` is
`TRACETAIL_LOKI_URL`. There, lists are separated by commas, and tables are JSON.

`tracetail config example` prints a file with every option and its default, `tracetail config check` validates one,
`tracetail config schema` prints JSON Schema for an editor. An unknown key or a wrong type is an error that names
file, key and what was expected. `tracetail doctor` checks whether what is configured works.

The configuration holds no secrets: an option that ends in `_file` names a file that holds one.

```toml
[loki]
url = "https://loki.example.com"
tenant = "llm-test"
bearer_token_file = "/etc/tracetail/secrets/loki"

[launcher.services.qwen-7b]
modelName = "qwen-7b"
modelPath = "/data/models/qwen-7b"
port = 8000
pythonBin = "/opt/llm/venv/bin/python"
```
"""

_ABOUT = {
    "loki": "The Loki, or embedded store, that agent, panel and `tracetail logs` talk to.",
    "kafka": "A topic that the agent sends every line to, beside Loki; [Kafka](kafka.md) explains it.",
    "otlp": "An OTLP receiver that the agent sends every line to, beside Loki; [OTLP](otlp.md) explains it.",
    "agent": "What the agent follows, how it ships, and how its metrics leave.",
    "launcher": "Settings for all launches, and defaults for single services.",
    "panel": "The log panel and its API.",
    "store": "The embedded store.",
}


def render_reference(language: str = "en") -> str:
    """Return the page in a language, one of language.LANGUAGES."""
    with chosen(language):
        return _render()


def _render() -> str:
    parts = [both(_HEAD, chinese.REFERENCE_HEAD)]
    for table, found in tables(Configuration).items():
        parts.append(_section(f"[{table}]", both(_ABOUT[table], chinese.ABOUT[table]), found))
        for option in found:
            if inside := keys_inside(option):
                header = header_of(option)
                each = both(": one such table for each", "：每一项一个这样的表") if header.startswith("[[") else ""
                about = f"{option.description[0].upper()}{option.description[1:]}{each}{both('.', '。')}"
                parts.append(_section(header, about, inside))
    return "".join(parts)


def _section(title: str, about: str, options: list[Option]) -> str:
    rows = [_row(option.key, option.default, option.description) for option in options]
    head = both("| key | default | what |", "| 选项 | 默认值 | 含义 |")
    return f"\n## {title}\n\n{about}\n\n{head}\n|---|---|---|\n{''.join(rows)}"


def _row(key: str, default: Any, description: str) -> str:
    shown = "" if default in ("", [], {}, REQUIRED) else f"`{json.dumps(default)}`"
    text = description.replace("|", "&#124;").replace("<", "&lt;")
    return f"| `{key}` | {shown} | {text} |\n"


def main() -> None:
    """Print the page, in the language that the first argument names."""
    sys.stdout.write(render_reference(*sys.argv[1:2]))


if __name__ == "__main__":
    main()
