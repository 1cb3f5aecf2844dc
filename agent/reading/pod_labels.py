r"""Labels of a pod's log from a file that Kubernetes writes for the pod: its annotations and labels (downward API).

A pod that mounts them gets a file on its node, which an agent there can read without asking the API server:
`/var/lib/kubelet/pods/<uid>/volumes/kubernetes.io~downward-api/<volume>/…`. Lines are `name="value"`, quoted as
by Go's strconv.Quote: `\"`, `\\`, `\n`, `\u00e9` (kubernetes/pkg/fieldpath, FormatMap).
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tracetail.agent.reading.trusted_links import open_trusted

_POD_PATH = re.compile(
    r"(?P<namespace>[a-z0-9][a-z0-9.-]{0,252})_(?P<pod>[a-z0-9][a-z0-9.-]{0,252})_(?P<uid>[A-Za-z0-9-]{1,64})/[a-z0-9.-]{1,253}/"
)
_PODS = "/pods/"
"""In front of it. Behind a second one, as in a volume below `/var/lib/kubelet/pods`, a pod chooses the names."""
_LINE = re.compile(r'([A-Za-z0-9._/-]{1,317})=(".*")')
_MAX_BYTES = 1 << 20
_VALUE_MAX = 256


def pod_labels(path: str, template: str, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the log at this path; {} if it is no pod's, or its pod has no such file.

    Args:
        path: of the log, `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`.
        template: path of the file, with `{namespace}`, `{pod}` and `{uid}`.
        wanted: name in that file → label.

    """
    match = _POD_PATH.match(path.partition(_PODS)[2])
    if match is None or not template:
        return {}
    for name, value in match.groupdict().items():
        template = template.replace("{" + name + "}", value)
    found = parse(_read(template))
    return {label: found[name] for name, label in wanted.items() if name in found}


def parse(text: str) -> dict[str, str]:
    """Return the values of the file's lines that can be labels, by name."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        value = _unquote(match[2]) if match else None
        if match and value and len(value) <= _VALUE_MAX and value.isprintable():
            found[match[1]] = value
    return found


def _unquote(text: str) -> str | None:
    try:  # Go's quoting is JSON's, but for \x, \a and \v, which no label may hold
        return str(json.loads(text))
    except ValueError:
        return None


def _read(path: str) -> str:
    try:
        with os.fdopen(open_trusted(Path(path)), "rb") as file:
            return file.read(_MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
