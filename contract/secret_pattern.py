"""The form of one kind of secret: a regular expression that says what of its match is masked."""

import re
from typing import NamedTuple, TypedDict


class Trigger(NamedTuple):
    """A text that stands in every secret of a kind: behind a word boundary, a start and then a run of characters.

    The compiled search looks for it rather than for keywords. Where those would be found in every other line (`pat`,
    `ak-`), or where there are none, it stands in their place.
    """

    starts: tuple[str, ...]
    """One of these, in this case; none: the run itself stands behind the word boundary."""
    alphabet: str
    """Of the run, as in the brackets of a regular expression: ASCII characters, and ranges of them."""
    length: int
    end: str = ""
    """One character behind the run."""

    @property
    def regex(self) -> str:
        """The expression of it; it has few states."""
        starts = "|".join(map(re.escape, self.starts))
        return rf"\b(?:{starts})[{self.alphabet}]{{{self.length}}}{re.escape(self.end)}"


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
    trigger: Trigger | None = None
    """In place of keywords, or beside them: it is in fewer lines, and takes longer to find by an expression."""
    also: tuple[str, ...] = ()
    """Texts of which one stands in every match, in this case: a cheap look before the expression is tried."""


class UsersOwn(TypedDict):
    """The user's own expressions, as in the table `[agent.redaction]`."""

    extra: list[str]
    """Further secrets: group 1, if there is one, is kept."""
    keep: list[str]
    """What is never masked: a value, or a name and its value, in whole."""
