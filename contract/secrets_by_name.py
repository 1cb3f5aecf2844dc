"""Secrets that are known by the name in front of them: of a variable, a field, a flag, a header, a parameter."""

from collections.abc import Iterator

from tracetail.contract import secrets_in_commands
from tracetail.contract.secret_pattern import Pattern
from tracetail.contract.secret_values import (
    BARE,
    END,
    HARMLESS,
    ITEMS,
    LITERAL,
    LONG_VALUE,
    MIXED,
    NEXT,
    NO_SECRET,
    PROSE,
    QUOTE,
    QUOTED,
    QUOTES,
    TOO_WEAK,
    WORD,
    WORDS,
)

# --- names: a name may have any prefix (OPENAI_API_KEY, db_password), so there is no boundary in front of it.

_KEYS = (
    "api|access|secret|private|signing|sign|signature|encryption|encrypt|account|master|auth|admin|shared|"
    "shared[_-]?access|storage|license|subscription|app|application|consumer|client|server|service|ssh|deploy|hmac|aes|"
    "service[_-]?role|jwt|webhook|functions?|integration|ingest|openai|anthropic|deepseek|dashscope|qianfan|fernet|salt|anon|"
    "wandb|supabase|cosmos(?:db)?|elevenlabs|assemblyai|translator|speech"
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
_PASSES = "user|db|database|root|admin|smtp|redis|mysql|pg|ftp|ldap|proxy|my|ssh|mail|require|(?:src|dest)?store|key"
STRONG_NAME = (
    rf"(?:(?:{_KEYS})[_-]?keys?|(?:api|access|secret)\.keys?|key[_-]base|api keys?|honeycomb-team|jfrog-art-api|"
    rf"(?:{_TOKENS})[_-]?tokens?|(?:{_SECRETS})[_-]?secrets?|"
    rf"secret[_-]?access[_-]?key|secret[_-]?id|passw(?:or)?ds?|passphrases?|passwort|passcodes?|(?:{_PASSES})[_-]?pass|pwd|masterauth|credentials?|"
    r"jsessionid|phpsessid|client[_-]key[_-]data|dockerconfigjson|"
    r"密码|密碼|口令|密钥|密鑰|秘钥|私钥|令牌|授权码|凭证|凭据|パスワード|비밀번호|[Пп]ароль|contraseña|senha)"
)
_SHORT = r"(?:\b|_)(?:pass|pw|ak|sk)"
"""Endings of other words, too: they have to stand alone."""
_WEAK = r"(?:token|secrets?|(?:secret |secret access |access )key|signature|authorization|(?:\b|_)(?:auth|sig))"
"""Names of other things, too (a tokenizer's token, a digest): the value has to look like a secret."""
_NUMBER = r"(?:[_-]?[0-9]{1,3})?"
_COLOUR = r"(?:\x1b\[[0-9;]{0,12}m){0,3}"
"""Libraries colour names and values one by one (structlog, rich, Rust's tracing, which does so in files, too)."""
_FULL_WIDTH = ("\N{FULLWIDTH COLON}", "\N{FULLWIDTH EQUALS SIGN}")
_EQUALS = rf"(?:[ \t]{{0,20}}(?:=>|:=|=|\\{{1,7}}u003d|{_FULL_WIDTH[1]}|\.{{3,}})[ \t]{{0,20}}|%(?:25){{0,2}}3[AaDd])"
_COLON = rf"[ \t]{{0,20}}(?::|{_FULL_WIDTH[0]})[ \t]{{0,20}}"
_ASSIGN = f"(?:{_EQUALS}|{_COLON})"
_CALL = r"(?:[A-Za-z_.]{0,40}(?:secret|str|bytes|token|key|password)\(|\[\]string\{)?"
"""SecretStr('…'), and Go's []string{"…"}"""

_PLURALS = tuple(f"{kind}{sign}tokens" for kind in ("access", "auth", "api", "hf", "refresh") for sign in "_-")
"""Looked for with what stands in front of them: `max_tokens=` and `tokens:` are in every other line."""
_STRONG_ENDINGS = (
    "key keys token secret password passwords passwd passwds passphrase passwort passcode pass pwd masterauth "
    "credential credentials secrets honeycomb-team art-api secret_id jsessionid phpsessid key-data key_data key-base "
    "key_base dockerconfigjson "
    f"{' '.join(_PLURALS)} "
    "密码 密碼 口令 密钥 密鑰 秘钥 私钥 令牌 授权码 凭证 凭据 パスワード 비밀번호 пароль contraseña senha"
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
    "\x1b",
    "&quot;",
    "&#",
    "%3a",
    "%3d",
    "%25",
    "%22",
)
_RARE = frozenset(
    [
        "honeycomb-team",
        "art-api",
        "passphrase",
        "passwort",
        "passcode",
        "masterauth",
        "jsessionid",
        "phpsessid",
        "key-data",
        "key_data",
        "key-base",
        "key_base",
        "dockerconfigjson",
        *_PLURALS,
        "密码",
        "密碼",
        "口令",
        "密钥",
        "密鑰",
        "秘钥",
        "私钥",
        "令牌",
        "授权码",
        "凭证",
        "凭据",
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


def _assigned(
    kind: str, name: str, endings: str, phrases: tuple[str, ...] = (), *, weak: bool = False
) -> Iterator[Pattern]:
    """Yield the patterns of a name to which a list of values, a value in quotes, or a bare value is assigned.

    endings: of names, with blanks between. phrases: endings that have a blank. weak: the value has to look like a
    secret.
    """
    before = rf"{name}{_NUMBER}{_COLOUR}(?:{QUOTE}|%22)?{_COLOUR}\]?"
    named = f"{before}{_ASSIGN}{_COLOUR}"
    keywords = (
        *_keywords(endings),
        *(phrase + follower for phrase in phrases for follower in _FOLLOWERS),
        *_keywords("key token secret password passwd pass pwd credential", _NUMBERS),
    )
    harmless = rf"{HARMLESS}|{TOO_WEAK}" if weak else HARMLESS
    no_item = rf"{LITERAL}(?:{QUOTE})?{NO_SECRET}(?:{QUOTE})?"
    no_items = rf"{no_item}(?:,[ \t]?{no_item})*,?[ \t]?(?:[\])]|$)"
    no_list = rf"[\])]|[0-9., -]+[\])]|{rf'{LITERAL}(?:{QUOTE})?(?:{harmless})' if weak else no_items}"
    yield Pattern(
        f"{kind}-list",
        rf"(?i)({named}[\[(])(?:(?P<harmless>{no_list})|{ITEMS})",
        keywords=keywords,
        also=("[", "("),
    )
    for quoted, quote, value, also in QUOTES:
        start = rf"{named}{_CALL}{LITERAL}{quote}"
        yield Pattern(
            f"{kind}-{quoted}",
            rf"(?i)({start})(?:(?P<harmless>{quote}|{harmless})|{LONG_VALUE if weak else value})",
            keywords=keywords,
            also=also,
        )
    bare = LONG_VALUE if weak else rf"{BARE}(?:[,;)]{NEXT})*"
    # After a colon there may be a sentence.
    for sign, assign, prose in (("equals", _EQUALS, ""), ("colon", _COLON, f"|{PROSE}")):
        yield Pattern(
            f"{kind}-{sign}",
            rf"(?i)({before}{assign}{_COLOUR})(?:(?P<harmless>{harmless}{prose})|{bare})",
            keywords=keywords,
        )


# --- flags

_FLAG_START = r"(?:^|[^A-Za-z0-9_-])--?(?:[A-Za-z0-9]+[_-])*"
FLAG_NAME = rf"(?:{STRONG_NAME}|keys?|token|secret|pass|auth)"
_FLAG = rf"{_FLAG_START}{FLAG_NAME}"
_FLAG_KEYWORDS = (
    *_keywords(_STRONG_ENDINGS, ("=", '"', "'", "\\", "`", "\t", "&quot;")),
    *_keywords(
        "-key -keys -token -secret -pass -auth _key _keys _token _secret _pass _auth",
        (" ", "=", '"', "'", "\\", "`", "\t"),
    ),
    *_keywords("storepass keypass apikey password passwd passphrase passcode pwd credential credentials", (" ",)),
)
_FLAGS = (
    *(
        Pattern(
            f"flag-{quoted}",
            rf"(?i)({_FLAG}(?:{QUOTE})?(?:=|,[ \t]{{0,3}}|[ \t]{{1,3}}){LITERAL}{quote})"
            rf"(?:(?P<harmless>{quote}|{HARMLESS}|-)"
            rf"|{value}(?:{quote},[ \t]{{0,3}}{quote}[^'\"\r\n\\-]{value})*)",
            keywords=_FLAG_KEYWORDS,
            also=also,
        )
        for quoted, quote, value, also in QUOTES
    ),
    Pattern(
        "flag",
        rf"(?i)({_FLAG}(?:=|[ \t]{{1,3}}))"
        rf"(?:(?P<harmless>{HARMLESS}|{PROSE}|-)|{BARE}(?:(?:[;)]|[ \t]+){NEXT})*)",
        keywords=_FLAG_KEYWORDS,
    ),
)

# --- headers, fields, what is said of a secret

_SAID = (
    rf"(?:{QUOTE})?[ \t]{{1,80}}"
    rf"(?:(?:is|was|provided|given|used|received|to|->|value|[|│┃])[ \t:=]{{1,80}})?(?:{QUOTE})?"
)
"""`API key provided: `, a variable and its value behind ENV or setenv, columns of a table."""
_FIELD = r"[A-Za-z-]{1,24}=(?:\\{0,7}\"[^\"\r\n\\]*\\{0,7}\"|[^\s,'\"\\]+)"
_AUTHORIZATION = rf"authorization(?:{QUOTE})?[ \t]{{0,3}}[=:,][ \t]{{0,3}}{LITERAL}(?:{QUOTE})?"
_SCHEME = r"(?:bearer|basic|token|digest|api-?key|key|bot|negotiate|ntlm|oauth|app_?code|sso-key|acs|oss|cos|aws)"
_VALUE = r"""[^\s'",;)\]}\\<>]+"""
_NAMED = rf"(?:{STRONG_NAME}|authorization)"
_OTHERS = (
    Pattern(
        "authorization-fields",
        rf"(?i)({_AUTHORIZATION}[a-z0-9-]{{2,40}}[ \t]+)"
        rf"{_FIELD}(?:(?:,[ \t]*|[ \t]+){_FIELD})*",
        keywords=("authorization",),
    ),
    Pattern(
        "authorization",
        rf"(?i)({_AUTHORIZATION}{_SCHEME}[ \t:]+)"
        rf"(?:(?P<harmless>{HARMLESS}|{PROSE})|{_VALUE})",
        keywords=("authorization",),
    ),
    Pattern(
        "authorization-other",
        rf"(?i)({_AUTHORIZATION}[a-z][a-z0-9_-]{{1,30}}[ \t]+)"
        rf"{MIXED}",
        keywords=("authorization",),
    ),
    Pattern(
        # auth=('bob', '…'), BasicAuth('bob', '…')
        "auth-pair",
        rf"(?i)(auth(?:{QUOTE})?{_ASSIGN}?\({LITERAL}{QUOTE}[^'\"\r\n]{{0,64}}{QUOTE},"
        rf"[ \t]?{LITERAL}{QUOTE})"
        rf"(?:(?P<harmless>{HARMLESS})|{QUOTED})",
        keywords=("auth(", "auth=", "auth'", 'auth"'),
    ),
    Pattern(
        "bearer",
        # A word of 16 letters and more is no word: what follows `Bearer` is a token more often than prose.
        rf"(?i)(\bbearer(?:[ \t]+|%20|:[ \t]*))(?:[a-z]{{16,}}{END}|(?P<harmless>{HARMLESS}|{TOO_WEAK})"
        rf"|[A-Za-z0-9._~+/=-]{{8,}})",
        keywords=("bearer",),
    ),
    Pattern(
        "basic",
        rf"(?i)(\bbasic[ \t]+)"
        rf"(?:(?P<harmless>{WORDS})|(?:[A-Za-z0-9+/]{{4}}){{3,}}[A-Za-z0-9+/]{{0,3}}={{0,2}}{END})",
        keywords=("basic ", "basic\t"),
    ),
    Pattern(
        "cookie",
        rf"(?i)(cookie(?:{QUOTE})?[ \t]{{0,3}}[=:,][ \t]{{0,3}}(?:{QUOTE})?)"
        r"[A-Za-z0-9_.-]{1,60}=[^'\"\r\n]{4,}",
        keywords=("cookie",),
    ),
    Pattern(
        "pair",
        rf"(?i)({_NAMED}{_NUMBER}{QUOTE}[ \t]*,[ \t]*"
        rf"(?:(?:{QUOTE})?value(?:{QUOTE})?[ \t]*[:=][ \t]*)?{LITERAL}{QUOTE})"
        rf"(?:(?P<harmless>{HARMLESS}|{TOO_WEAK})|{QUOTED})",
        keywords=_keywords(f"{_STRONG_ENDINGS} authorization"),
    ),
    Pattern(
        "said",
        rf"(?i)((?:{STRONG_NAME}|(?:access|secret) key){_NUMBER}{_SAID})(?:(?P<harmless>{HARMLESS})|{MIXED})",
        keywords=(
            *_keywords(
                "-key _key apikey accesskey secretkey -token _token authtoken -secret _secret "
                "password passwd passphrase pwd credentials",
                (" ", "' ", '" ', "\t"),
            ),
            *(f"{kind} key{end}" for kind in ("api", "access", "secret") for end in (" ", "' ", '" ')),
        ),
    ),
    Pattern(
        "said-in-chinese",
        rf"(?i)((?:密码|密碼|口令|密钥|秘钥|令牌|授权码)(?:为|是)[ \t:{_FULL_WIDTH[0]}]{{0,4}}(?:{QUOTE})?)"
        rf"(?:(?P<harmless>{HARMLESS})|[!#-&(-~]{{3,}})",
        keywords=("密码", "密碼", "口令", "密钥", "秘钥", "令牌", "授权码"),
    ),
    Pattern(
        "jwk",
        rf"((?:{QUOTE})(?:d|p|q|dp|dq|qi|k)(?:{QUOTE})[ \t]*:[ \t]*(?:{QUOTE}))[A-Za-z0-9_-]{{16,}}",
        keywords=tuple(f"kty{end}" for end in ('"', "'", "\\")),
    ),
    Pattern(
        "xml",
        rf"(?i)(<[a-z:_.-]*{STRONG_NAME}>)[^<\r\n]+</",
        kept_behind="</",
        keywords=_keywords(_STRONG_ENDINGS, (">",)),
    ),
    Pattern(
        "xml-attribute",
        rf"(?i)({STRONG_NAME}\"[ \t]+value=\")(?:(?P<harmless>{HARMLESS})|[^<\"\r\n]+)",
        keywords=_keywords(_STRONG_ENDINGS, ('" ', '"\t')),
    ),
    Pattern(
        "query",
        r"(?i)([?&;](?:[\w.-]*(?:token|signature|secret)|[\w.-]*sign?|key|code|auth|tkn)=)"
        rf"(?:(?P<harmless>{HARMLESS}|{WORD}(?:[_-]{WORD})+{END}|[^\s&#'\"<>]{{0,11}}(?:[\s&#'\"<>]|$))|[^\s&#'\"<>]+)",
        keywords=(
            *("token=", "signature=", "secret=", "sig=", "sign=", "tkn="),
            *(mark + name for mark in "?&;" for name in ("key=", "code=", "auth=")),
        ),
    ),
)

PATTERNS = (
    *_FLAGS,
    *_OTHERS,
    *secrets_in_commands.PATTERNS,
    *_assigned("named", STRONG_NAME, _STRONG_ENDINGS),
    *_assigned("short-named", _SHORT, "pass pw ak sk", weak=True),
    *_assigned("weakly-named", _WEAK, "token secret secrets signature authorization auth sig", (" key",), weak=True),
    Pattern(
        # A variable of the environment whose name no list has: LLM_KEY=…
        "variable",
        rf"(\b(?:[A-Z][A-Z0-9]*_){{0,6}}KEY(?:{QUOTE})?{_ASSIGN}{LITERAL}(?:{QUOTE})?)"
        rf"(?:(?P<harmless>{HARMLESS})|{MIXED})",
        keywords=_keywords("key", ("=", ":", " =", " :", '"', "'")),
        also=("KEY",),
    ),
)
