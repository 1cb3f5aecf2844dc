"""`tracetail redact`: shows what of a text the agent and the panel would mask."""

from typing import BinaryIO

import click

from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.language import both
from tracetail.contract.json_text import json_text


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--all", "every_line", is_flag=True, help="Print every line, not only those with a secret.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line: number, kinds and text.")
@click.pass_obj
def redact(config: str | None, file: BinaryIO, every_line: bool, as_json: bool) -> None:
    """Print the lines of FILE (or standard input) in which secrets are masked, as they are shipped.

    The kinds of secrets in a line are printed behind it. `[agent.redaction]` of the configuration adds to the common
    kinds (extra) and takes away from them (keep).
    """
    from tracetail.agent.checked_settings import redactor_of
    from tracetail.contract.secret_lines import SecretLines

    try:
        redactor = redactor_of(load_configuration(config).agent)
    except ValueError as error:
        fail(str(error), BAD_USAGE)
    before = SecretLines()
    secrets = lines = number = 0
    for number, line in enumerate(file, start=1):
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        continued = "private-key" if before.key.lines_left else "next-line"
        masked, count = redactor.redact(text, before)
        secrets += count
        lines += count > 0
        if not count and not every_line:
            continue
        kinds = redactor.kinds(text) or ([continued] if count else [])
        shown = masked.decode(errors="replace")
        if as_json:
            click.echo(json_text({"number": number, "kinds": kinds, "text": shown}))
        else:
            click.echo(f"{number}: {shown}" + (f"   [{', '.join(kinds)}]" if kinds else ""))
    english = f"{secrets} secrets in {lines} of {number} lines"
    click.echo(both(english, f"{number} 行中有 {lines} 行含机密，共 {secrets} 处"), err=True)
