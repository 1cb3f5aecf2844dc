"""Compiles label matchers and regular expressions (RE2, as in Loki)."""

import functools
from collections.abc import Callable
from typing import Any

import re2

from tracetail.loki.logql import quote
from tracetail.store.logql.tree import LogQLError, Matcher


@functools.lru_cache(maxsize=256)
def compile_regex(pattern: str, *, prefix: str = "") -> Any:
    """Return the RE2 expression over bytes, with a prefix (flags) before it. Raises LogQLError."""
    options = re2.Options()
    options.log_errors = False
    try:
        if prefix:
            re2.compile(pattern.encode("utf-8", "surrogateescape"), options)
        return re2.compile((prefix + pattern).encode("utf-8", "surrogateescape"), options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise LogQLError(f"parse error : error parsing regexp: {reason}: {quote(pattern)}") from None


@functools.lru_cache(maxsize=1024)
def compile_matcher(matcher: Matcher) -> Callable[[str], bool]:
    """Return a function that tests a label's value. Raises LogQLError."""
    return _ValueTest(matcher)


class _ValueTest:
    """Tests whether a label's value satisfies a matcher. A regular expression must match the whole value."""

    def __init__(self, matcher: Matcher) -> None:
        self.matcher = matcher
        self.regex = compile_regex(matcher.value, prefix="(?s)") if matcher.op.endswith("~") else None
        self.negated = matcher.op.startswith("!")

    def __call__(self, value: str) -> bool:
        if self.regex is None:
            return (value == self.matcher.value) != self.negated
        return (self.regex.fullmatch(value.encode("utf-8", "surrogateescape")) is not None) != self.negated
