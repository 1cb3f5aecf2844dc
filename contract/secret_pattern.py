"""The form of one kind of secret: a regular expression that says what of its match is masked."""

from typing import NamedTuple


class Pattern(NamedTuple):
    """One kind of secret, in the syntax that RE2, Python's `re` and Rust's regex (Vector's) read alike."""

    name: str
    regex: str
    """Group 1 is kept in front of the mask; the rest of the match is replaced.

    A group named `harmless` that takes part says that the value is no secret (`api_key=None`): the match is left as
    it is. It stands for the look-ahead that these engines lack.
    """
    kept_behind: str = ""
    """What stands at the end of each match and is kept behind the mask."""
    keywords: tuple[str, ...] = ()
    """Texts in lower case, of which one stands in every match, whatever its case: few lines are tried then.

    Without keywords and trigger every line is tried.
    """
    trigger: str = ""
    """In place of keywords: an expression of few states that matches in every text with this secret."""
