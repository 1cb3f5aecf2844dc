"""Secrets that are known by what stands in front of them: a name, a flag, a header, a URL, an option of a command."""

from collections.abc import Iterator

from tracetail.contract.secret_pattern import Pattern

# --- names: a name may have any prefix (OPENAI_API_KEY, db_password), so there is no boundary in front of it.

_KEYS = (
    "api|access|secret|private|signing|sign|signature|encryption|encrypt|account|master|auth|admin|shared|"
    "shared[_-]?access|storage|license|subscription|app|application|consumer|client|server|service|ssh|deploy|hmac|aes|"
    "jwt|webhook|function|integration|ingest|openai|anthropic|deepseek|dashscope|qianfan"
)
_TOKENS = (
    "api|access|auth|authentication|authorization|hf|hub|face|id|refresh|bearer|bot|session|security|secret|private|"
    "personal|pat|jwt|csrf|xsrf|user|admin|app|client|service|account|github|gh|gitlab|gitee|slack|npm|pypi|vault|wandb|"
    "modelscope|replicate|consul|nomad|registry|deploy|push|upload|login|oauth|sas|connection|webhook|influx(?:db)?"
)
_SECRETS = (
    "client|app|application|consumer|api|shared|jwt|session|webhook|signing|corp|bot|hmac|cookie|auth|oauth|aws|access|"
    "user|admin|encryption|key"
)
_PASSES = "user|db|database|root|admin|smtp|redis|mysql|pg|ftp|ldap|proxy|my|ssh|mail|require"
_STRONG = (
    rf"(?:(?:{_KEYS})[_-]?keys?|api keys?|(?:{_TOKENS})[_-]?tokens?|(?:{_SECRETS})[_-]?secret|"
    rf"secret[_-]?access[_-]?key|passw(?:or)?ds?|passphrase|passwort|passcode|(?:{_PASSES})[_-]?pass|pwd|masterauth|credentials?|"
    r"jsessionid|phpsessid|client[_-]key[_-]data|"
    r"密码|密碼|口令|密钥|密鑰|令牌|パスワード|비밀번호|[Пп]ароль|contraseña|senha)"
)
_SHORT = r"(?:\b|_)(?:pass|pw|ak|sk)"
"""Endings of other words, too: they have to stand alone."""
_WEAK = r"(?:token|secret|signature|authorization|(?:\b|_)(?:auth|sig))"
"""Names of other things, too (a tokenizer's token, a digest): the value has to look like a secret."""
_NUMBER = r"(?:[_-]?[0-9]{1,3})?"
_QUOTE = r"""\\{0,7}(?:['"`]|&quot;)"""
"""Escaped in a line that is JSON, in JSON within JSON, and in an event's logfmt."""
_FULL_WIDTH = ("\N{FULLWIDTH COLON}", "\N{FULLWIDTH EQUALS SIGN}")
_EQUALS = rf"(?:[ \t]{{0,20}}(?:=>|:=|=|{_FULL_WIDTH[1]}|\.{{3,}})[ \t]{{0,20}}|%3[AaDd])"
_COLON = rf"[ \t]{{0,20}}(?::|{_FULL_WIDTH[0]})[ \t]{{0,20}}"
_ASSIGN = f"(?:{_EQUALS}|{_COLON})"
_LITERAL = r"(?:[bBuUrRfF]{1,2})?"
_CALL = r"(?:[A-Za-z_.]{0,40}(?:secret|str|bytes|token|key|password)\()?"
"""SecretStr('…')"""

# --- values that are no secrets

_END = r"""(?:\\{0,7}['"`]|&quot;|%22|[\s,;)\]}>&|]|\\[nrt]|$)"""
_NOTHING = (
    r"(?:(?:none|null|nil|undefined|unset|empty|true|false|yes|no|on|off|auto|default|required|optional|missing|invalid|"
    r"enabled|disabled|str|string|bytes|int|bool|redacted|masked|hidden|omitted|n/a|x{3,})"
    r"|[0-9]{1,10}(?:\.[0-9]{1,9})?|\*{2,}[^\s'\"]*|(?:\*|•)+|\.{3,}|-+)"
)
_PLACEHOLDER = (
    r"(?:<[^<>\r\n]{0,60}>|\$[A-Za-z_][A-Za-z0-9_]*|\$?\{{1,2}[^{}\r\n]{0,60}\}{1,2}|\$\([^()\r\n]{1,60}\)|%\([a-z_]+\)s|[-=?+][^{}\s'\"]{0,40}\}"
    r"|(?:your|my|the)[_-][a-z_-]{1,40}|(?-i:[A-Z]+(?:_[A-Z]+)+|API|KEY|TOKEN|PASSWORD|SECRET|EMPTY)"
    r"|(?:os\.|self\.|args\.|config\.|settings\.|env\.|request\.|getenv\(|get_)[^\s,;]*)"
)
_PATH = r"(?:(?:file://|~|\.{1,2})?/(?:[\w.@+-]+/)*[\w.@+-]*|[a-z]:\\\\?[\w.@+-]+\\[^\s'\",;]*)"
_HAN = "[\u4e00-\u9fff]{2,}"
_TYPE = r"(?:typing\.[\w.\[\]]+|Optional\[[\w.\[\]]*|Union\[[\w.]*|SecretStr\('\*+'\))"
_HARMLESS = rf"(?:{_NOTHING}|{_PLACEHOLDER}|{_PATH}|{_TYPE}|{_HAN}){_END}"
_WORD = r"(?-i:[A-Za-z]?[a-z]+)"
_PROSE = rf"{_WORD}[.,:;]?[ \t]+(?-i:[a-z(])"
"""A word in front of another one."""
_WORDS = rf"{_WORD}(?:[ _./'-]{{1,2}}{_WORD})*[.!?]?{_END}"
_TOO_WEAK = rf"{_WORDS}|{_WORD}:|<[^<>\r\n]{{0,60}}>|\[[A-Za-z_]{{1,20}}\]|[^\s'\",;&]{{0,7}}{_END}"
"""Words, special tokens of a tokenizer, and what is too short to be a secret."""

# --- values

_BARE = r"""[^\s'"`,;)\](\[{}\\<>|][^\s'"`,;)\]}\\]*(?:(?:['"`]+|\\+[^nrt\s'"`\\,;)\]}]|\{)[^\s'"`,;)\]}\\]+)*"""
"""Without quotes. A quote that is followed by more belongs to it."""
_NEXT = r"(?-i:(?:[A-Za-z0-9_.+~][A-Za-z0-9_.+~-]*)?(?:[A-Za-z_][0-9]|[0-9][A-Za-z]|[a-z][A-Z])[A-Za-z0-9_.+~-]*)"
"""A further value behind a bare one: letters and digits mixed."""
_QUOTED = r"""(?:[^'"\r\n\\]|\\+[^'"\r\n\\])+"""
_QUOTES = (
    # name, the quote, what stands in it
    ("double-quoted", r"""\\{0,7}(?:"|&quot;)""", r"""(?:[^"&\r\n\\]|&[^"q\r\n]|\\+[^"\r\n\\])+"""),
    ("single-quoted", r"""\\{0,7}['`]""", r"""(?:[^'`\r\n\\]|\\+[^'`\r\n\\])+"""),
)
_LONG_VALUE = r"[A-Za-z0-9_~+/=.:@!#$%^*-]{8,}"


_STRONG_ENDINGS = (
    "key keys token secret password passwords passwd passwds passphrase passwort passcode pass pwd masterauth "
    "credential credentials jsessionid phpsessid key-data key_data "
    "密码 密碼 口令 密钥 密鑰 令牌 パスワード 비밀번호 пароль contraseña senha"
)
_FOLLOWERS = (
    "=",
    ":",
    " =",
    " :",
    "  ",
    "\t",
    '"',
    "'",
    "`",
    "\\",
    "]",
    "...",
    " ..",
    *_FULL_WIDTH,
    "&quot;",
    "%3a",
    "%3d",
    "%22",
)
_RARE = frozenset(
    [
        "passphrase",
        "passwort",
        "passcode",
        "masterauth",
        "jsessionid",
        "phpsessid",
        "key-data",
        "key_data",
        "密码",
        "密碼",
        "口令",
        "密钥",
        "密鑰",
        "令牌",
        "パスワード",
        "비밀번호",
        "пароль",
        "contraseña",
        "senha",
    ]
)
"""Looked for whatever stands behind them: few lines have them."""
_NUMBERS = tuple(f"{mark}{digit}" for mark in ("", "_", "-") for digit in range(10))


def _keywords(endings: str, followers: tuple[str, ...] = _FOLLOWERS) -> tuple[str, ...]:
    """Return what a match contains: the end of a name, with what stands behind it."""
    return tuple(
        ending + follower for ending in endings.split() for follower in (("",) if ending in _RARE else followers)
    )


def _assigned(kind: str, name: str, endings: str, *, weak: bool = False) -> Iterator[Pattern]:
    """Yield the patterns of a name to which a list of values, a value in quotes, or a bare value is assigned.

    weak: the value has to look like a secret.
    """
    named = rf"{name}{_NUMBER}(?:{_QUOTE}|%22)?\]?{_ASSIGN}"
    keywords = (*_keywords(endings), *_keywords("key token secret password passwd pass pwd credential", _NUMBERS))
    harmless = rf"{_HARMLESS}|{_TOO_WEAK}" if weak else _HARMLESS
    no_list = rf"[\])]|[0-9., -]+[\])]|{_LITERAL}(?:{_QUOTE})?(?:{harmless})"
    yield Pattern(f"{kind}-list", rf"(?i)({named}[\[(])(?:(?P<harmless>{no_list})|[^\])\r\n]+)", keywords=keywords)
    for quoted, quote, value in _QUOTES:
        start = rf"{named}{_CALL}{_LITERAL}{quote}"
        yield Pattern(
            f"{kind}-{quoted}",
            rf"(?i)({start})(?:(?P<harmless>{quote}|{harmless})|{_LONG_VALUE if weak else value})",
            keywords=keywords,
        )
    bare = _LONG_VALUE if weak else rf"{_BARE}(?:,{_NEXT})*"
    # After a colon there may be a sentence.
    for sign, assign, prose in (("equals", _EQUALS, ""), ("colon", _COLON, f"|{_PROSE}")):
        yield Pattern(
            f"{kind}-{sign}",
            rf"(?i)({name}{_NUMBER}(?:{_QUOTE}|%22)?\]?{assign})(?:(?P<harmless>{harmless}{prose})|{bare})",
            keywords=keywords,
        )


# --- flags

_FLAG_START = r"(?:^|[^A-Za-z0-9_-])--?(?:[A-Za-z0-9]+[_-])*"
FLAG_NAME = rf"(?:{_STRONG}|keys?|token|secret|pass|auth)"
_FLAG = rf"{_FLAG_START}{FLAG_NAME}"
_FLAG_KEYWORDS = (
    *_keywords(_STRONG_ENDINGS, ("=", '"', "'", "\\", "`", "\t", "&quot;")),
    *_keywords(
        "-key -keys -token -secret -pass -auth _key _keys _token _secret _pass _auth",
        (" ", "=", '"', "'", "\\", "`", "\t"),
    ),
    *_keywords("apikey password passwd passphrase passcode pwd credential credentials", (" ",)),
)
_FLAGS = (
    *(
        Pattern(
            f"flag-{quoted}",
            rf"(?i)({_FLAG}(?:{_QUOTE})?(?:=|,[ \t]{{0,3}}|[ \t]{{1,3}}){_LITERAL}{quote})"
            rf"(?:(?P<harmless>{quote}|{_HARMLESS}|-)"
            rf"|{value}(?:{quote},[ \t]{{0,3}}{quote}[^'\"\r\n\\-]{value})*)",
            keywords=_FLAG_KEYWORDS,
        )
        for quoted, quote, value in _QUOTES
    ),
    Pattern(
        "flag",
        rf"(?i)({_FLAG}(?:=|[ \t]{{1,3}}))(?:(?P<harmless>{_HARMLESS}|{_PROSE}|-)|{_BARE}(?:[ \t]+{_NEXT})*)",
        keywords=_FLAG_KEYWORDS,
    ),
)

# --- headers, URLs, commands

_SCHEME = r"(?:bearer|basic|token|digest|api-?key|key|bot|negotiate|ntlm|oauth|app_?code|sso-key|acs|oss|cos|aws)"
_VALUE = r"""[^\s'",;)\]}\\<>]+"""
_NAMED = rf"(?:{_STRONG}|authorization)"
_OTHERS = (
    Pattern(
        "authorization",
        rf"(?i)(authorization(?:{_QUOTE})?[ \t]{{0,3}}[=:,][ \t]{{0,3}}{_LITERAL}(?:{_QUOTE})?{_SCHEME}[ \t:]+)"
        rf"(?:(?P<harmless>{_HARMLESS}|{_PROSE})|{_VALUE})",
        keywords=("authorization",),
    ),
    Pattern(
        "bearer",
        # A word of 16 letters and more is no word: what follows `Bearer` is a token more often than prose.
        rf"(?i)(\bbearer(?:[ \t]+|%20|:[ \t]*))(?:[a-z]{{16,}}{_END}|(?P<harmless>{_HARMLESS}|{_TOO_WEAK})"
        rf"|[A-Za-z0-9._~+/=-]{{8,}})",
        keywords=("bearer",),
    ),
    Pattern(
        "basic",
        rf"(?i)(\bbasic[ \t]+)"
        rf"(?:(?P<harmless>{_WORDS})|(?:[A-Za-z0-9+/]{{4}}){{3,}}[A-Za-z0-9+/]{{0,3}}={{0,2}}{_END})",
        keywords=("basic ", "basic\t"),
    ),
    Pattern(
        "cookie",
        rf"(?i)(cookie(?:{_QUOTE})?[ \t]{{0,3}}[=:,][ \t]{{0,3}}(?:{_QUOTE})?)"
        r"[A-Za-z0-9_.-]{1,60}=[^'\"\r\n]{4,}",
        keywords=("cookie",),
    ),
    Pattern(
        "pair",
        rf"(?i)({_NAMED}{_NUMBER}{_QUOTE}[ \t]*,[ \t]*(?:{_QUOTE}value{_QUOTE}[ \t]*:[ \t]*)?{_LITERAL}{_QUOTE})"
        rf"(?:(?P<harmless>{_HARMLESS}|{_TOO_WEAK})|{_QUOTED})",
        keywords=_keywords(f"{_STRONG_ENDINGS} authorization"),
    ),
    Pattern(
        "xml",
        rf"(?i)(<[a-z:_.-]*{_STRONG}>)[^<\r\n]+</",
        kept_behind="</",
        keywords=_keywords(_STRONG_ENDINGS, (">",)),
    ),
    Pattern(
        "xml-attribute",
        rf"(?i)({_STRONG}\"[ \t]+value=\")(?:(?P<harmless>{_HARMLESS})|[^<\"\r\n]+)",
        keywords=_keywords(_STRONG_ENDINGS, ('" ', '"\t')),
    ),
    Pattern(
        "query",
        r"(?i)([?&;](?:[\w.-]*(?:token|signature|secret)|[\w.-]*sign?|key|code|auth)=)"
        rf"(?:(?P<harmless>{_HARMLESS}|[^\s&#'\"<>]{{0,11}}(?:[\s&#'\"<>]|$))|[^\s&#'\"<>]+)",
        keywords=(
            *("token=", "signature=", "secret=", "sig=", "sign="),
            *(mark + name for mark in "?&;" for name in ("key=", "code=", "auth=")),
        ),
    ),
    Pattern(
        "curl-user",
        rf"(?i)(\bcurl\b[^\r\n|]{{0,400}}?[ \t](?:-u|--user|--proxy-user|-U)[ \t=]*"
        rf"(?:{_QUOTE})?[^\s:'\"]{{1,64}}:)[^\s'\"]+",
        keywords=("curl",),
    ),
    Pattern(
        "command-password",
        r"(\b(?:sshpass[ \t]+-p[ \t]*|(?:mysql|mysqldump|mysqladmin|mariadb)[ \t][^\r\n|;]{0,400}?-p"
        r"|redis-cli[ \t][^\r\n|;]{0,400}?-a[ \t]+|(?:docker|podman|nerdctl|helm|skopeo|oras|az)[ \t]"
        r"[^\r\n|;]{0,400}?\blogin[ \t][^\r\n|;]{0,400}?-p[ \t]+)['\"]?)[^\s'\"-][^\s'\"]*",
        keywords=("sshpass", "mysql", "mariadb", "redis-cli", "login "),
    ),
    Pattern(
        "netrc",
        rf"(?i)(\blogin[ \t]+[^\s]{{1,64}}[ \t]+password[ \t]+)(?:(?P<harmless>{_PROSE})|[^\s'\"]+)",
        keywords=("password ", "password\t"),
    ),
    Pattern(
        "oracle-password",
        r"(?i)(\bjdbc:oracle:[a-z]+:[^\s/'\"@]{1,64}/)[^\s'\"@]+@",
        kept_behind="@",
        keywords=("jdbc:oracle:",),
    ),
    Pattern(
        "url-password",
        r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@'\"\[<>]{0,200}:)"
        r"(?:(?P<harmless>[0-9]{1,5}(?:[/?#\s,;)'\"]|$)|[^\s/@'\"]+@sha256:|\*{3}@|[$<{][^\s@'\"]*[>}]@)"
        r"|(?:[^\s/'\"]+|[^\s'\"@]+)@)",
        kept_behind="@",
        keywords=("@",),
    ),
    Pattern(
        "url-token", r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://)[A-Za-z0-9_-]{24,200}@", kept_behind="@", keywords=("@",)
    ),
)

PATTERNS = (
    *_FLAGS,
    *_OTHERS,
    *_assigned("named", _STRONG, _STRONG_ENDINGS),
    *_assigned("short-named", _SHORT, "pass pw ak sk", weak=True),
    *_assigned("weakly-named", _WEAK, "token secret signature authorization auth sig", weak=True),
)
