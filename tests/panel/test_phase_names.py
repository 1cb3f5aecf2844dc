"""The panel's Chinese names of phases are those of the engines."""

import re
from pathlib import Path

from tracetail.launcher import engines
from tracetail.panel import server

MESSAGES = Path(server.__file__).parent / "static/component/messages.js"


def test_every_phase_of_every_engine_has_a_chinese_name():
    text = MESSAGES.read_text(encoding="utf-8")
    table = re.search(r"phaseNames: \{\n(.*?)\n  \}", text, re.DOTALL)[1]
    translated = {quoted or bare for quoted, bare in re.findall(r'^ +(?:"([^"]+)"|(\w+)):', table, re.MULTILINE)}
    known = {phase.name for name in engines.NAMES for phase in engines.load(name).phases}
    assert known <= translated
