"""Text of logs, records and file names, without what would control the terminal that it is printed on."""


def printable(text: str) -> str:
    """Return text with `?` for each character that could control a terminal. Tabs stay."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)


def printable_lines(text: str) -> str:
    """Return text as printable() does, its line breaks kept."""
    return "\n".join(map(printable, text.split("\n")))
