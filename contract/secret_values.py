"""How a value stands in a line, bare or in quotes, and which values are no secrets: parts of expressions."""

_ENTITY = r"(?:&(?:quot|apos|#34|#39|#x27);|\\{1,7}u002[27])"
"""A quote as HTML and .NET's JSON write it."""
QUOTE = rf"""(?:\\{{0,7}}['"`]|{_ENTITY})"""
"""Escaped in a line that is JSON, in JSON within JSON, and in an event's logfmt."""
LITERAL = r"(?:[bBuUrRfF]{1,2})?"

# --- values that are no secrets

END = r"""(?:\\{0,7}['"`]|&quot;|%22|[\s,;)\]}>&|\x1b]|\\[nrt]|\\{1,7}u002[267]|$)"""
"""What stands behind a value."""
_NOTHING = (
    r"(?:(?:none|null|nil|undefined|unset|empty|true|false|yes|no|on|off|auto|default|required|optional|missing|invalid|"
    r"enabled|disabled|str|string|bytes|int|bool|redacted|masked|hidden|omitted|n/a|x{3,}"
    r"|(?:[0-9][^\s]*_)?(?:amd64|arm64|all)(?:\.deb)?)"  # the package passwd
    r"|[0-9]{1,10}(?:\.[0-9]{1,9})?|\*{2,}[^\s'\"]*|(?:\*|•)+|\.{3,}|-+|[)\]}]{1,3})"
)
_PLACEHOLDER = (
    r"(?:<[^<>\r\n]{0,60}>|(?-i:\$(?:[A-Z_][A-Z0-9_]*|[a-z_][a-z0-9_]*))|\$?\{{1,2}[^{}\r\n]{0,60}\}{1,2}|\$\([^()\r\n]{1,60}\)|%\([a-z_]+\)s|[-=?+][^{}\s'\"]{0,40}\}"
    r"|(?:your|my|the)[_-][a-z_-]{1,40}|(?-i:[A-Z]+(?:_[A-Z]+)+|API|KEY|TOKEN|PASSWORD|SECRET|EMPTY)"
    r"|(?:os\.|self\.|args\.|config\.|settings\.|env\.|request\.|getenv\(|get_)[^\s,;]*)"
)
_CALLED = (
    r"(?:(?-i:[a-z_]+(?:\.[a-z_]+)*\()(?:\)|[a-z_.]{2,}[^'\"])"
    r"|(?-i:[a-z_]+(?:\.[a-z_]+)+\()['\"][A-Za-z_]{1,20}[: ]{0,2}['\"])"
)
"""A call in a traceback's source line: find_token(code, …), getpass.getpass("Password: "), but not b64decode("…")."""
_NAME_PART = r"(?:[a-z]*(?:[A-Z]+[a-z]+){0,2}[A-Z]*(?:[0-9]+[A-Za-z]{1,4}){0,2}[0-9]*)"
_NAME = rf"{_NAME_PART}(?:[_.@+-]{_NAME_PART})*"
"""Of a file, in words. A key may begin with a slash, too: its characters change their kind all the time."""
_PATH = rf"(?:(?:file://|~|\.{{1,2}})?(?-i:/(?:{_NAME}/)*{_NAME})|[a-z]:\\\\?[\w.@+-]+\\[^\s'\",;]*)"
_HAN = "[\u4e00-\u9fff]{2,}"
_TYPE = r"(?:typing\.[\w.\[\]]+|Optional\[[\w.\[\]]*|Union\[[\w.]*|SecretStr\('\*+'\))"
NO_SECRET = f"(?:{_NOTHING}|{_PLACEHOLDER}|{_CALLED}|{_PATH}|{_TYPE}|{_HAN})"
HARMLESS = f"{NO_SECRET}{END}"
"""In whole: `none` is no secret, `none4f2a…` may be one."""
WORD = r"(?-i:[A-Za-z]?[a-z]+)"
PROSE = rf"{WORD}[.,:;]?[ \t]+(?-i:[a-z(\"])"
"""A word in front of another one."""
_SOME_WORDS = rf"{WORD}(?:[ _./'-]{{1,2}}{WORD})*[.!?]?"
WORDS = f"{_SOME_WORDS}{END}"
_COUNT = r"[0-9]+(?:[/.,:x][0-9]+){0,5}(?:[kmg%]|/s)?"
_CAMEL = r"(?-i:[A-Za-z]?[a-z]+(?:[A-Z][a-z]+)+)"
_OBJECT = rf"(?:{_CAMEL}|[a-z]+(?:\.[A-Za-z]+)+)[@({{/]"
"""AddedToken(…), android.os.BinderProxy@2bd79ce"""
TOO_WEAK = (
    rf"{WORDS}|{_OBJECT}|{_COUNT}{END}|{WORD}:|<[^<>\r\n]{{0,60}}>|\[[A-Za-z_]{{1,20}}\]|[^\s'\",;&]{{0,7}}{END}"
)
"""Words, special tokens of a tokenizer, objects, and what is too short to be a secret."""

# --- values

BARE = (
    r"""[^\s'"`,;)\](\[{}\\<>|\x1b][^\s'"`,;)\]}\\\x1b]*"""
    r"""(?:(?:['"`]+|\\+[^nrt\s'"`\\,;)\]}\x1b]|\{)[^\s'"`,;)\]}\\\x1b]+)*"""
)
"""Without quotes. A quote that is followed by more belongs to it."""
NEXT = r"(?-i:(?:[A-Za-z0-9_.+~][A-Za-z0-9_.+~-]*)?(?:[A-Za-z_][0-9]|[0-9][A-Za-z]|[a-z][A-Z])[A-Za-z0-9_.+~-]*)"
"""A further value behind a bare one: letters and digits mixed."""
_WITHIN = "[A-Za-z0-9_@#$%^*~!-]"
"""Behind a quote it says that the value goes on: behind the last one there is a space, a comma, a bracket."""
QUOTED = rf"""(?:[^'"\r\n\\]|\\+[^'"\r\n\\]|\\*['"]{_WITHIN})+"""
QUOTES = (
    # name, the quote, what stands in it, texts of which the quote has one
    (
        "double-quoted",
        r"""(?:\"\"\"|\\{0,7}")""",
        rf"""(?:[^"\r\n\\]|\\+[^"\r\n\\]|\\*"{_WITHIN})+""",
        ('"',),
    ),
    (
        "single-quoted",
        r"""(?:\'\'\'|\\{0,7}['`])""",
        rf"""(?:[^'`\r\n\\]|\\+[^'`\r\n\\]|\\*['`]{_WITHIN})+""",
        ("'", "`"),
    ),
    (
        "entity-quoted",
        _ENTITY,
        rf"(?:[^&\\\r\n]|&(?:amp|lt|gt|#4[37]);|\\+(?:[^u\\\r\n]|u[^0\\\r\n]|u00(?:2[6b]|3[ce]))|{_ENTITY}{_WITHIN})+",
        ("&", "\\"),
    ),
)
ITEMS = r"""(?:'[^'\r\n\\]*'|"[^"\r\n\\]*"|[^\])\r\n])+"""
"""Of a list. A bracket within quotes belongs to an item."""
LONG_VALUE = r"[A-Za-z0-9_~+/=.:@!#$%^*-]{8,}"
MIXED = r"(?-i:(?:[A-Za-z_]{1,40}[0-9]|[0-9]{1,20}[A-Za-z])[A-Za-z0-9_+/=~-]{12,})"
"""Letters and digits mixed, and long: no word, and no number."""
