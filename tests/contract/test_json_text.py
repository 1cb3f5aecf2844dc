"""JSON that is printed: whole, and harmless to a terminal."""

import json

import pytest

from tracetail.contract.json_text import json_text


@pytest.mark.parametrize("indent", [None, 2])
def test_no_character_of_it_controls_a_terminal_and_it_is_read_back_the_same(indent):
    value = {"text": "".join(map(chr, range(0x250))) + "\u200f\u2028\u202e\u2066\ud800", "就绪": "是 😀"}
    text = json_text(value, indent=indent)
    assert json.loads(text) == value
    assert [one for one in text if not one.isprintable() and one not in "\n\xa0\xad"] == []
    assert '"就绪": "是 😀"' in text
