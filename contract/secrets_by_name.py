"""Secrets that are known by what stands in front of them: a name, a flag, a header, a URL, an option of a command."""

from collections.abc import Iterator

from tracetail.contract.secret_pattern import Pattern

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
_ENTITY = r"(?:&(?:quot|apos|#34|#39|#x27);|\\{1,7}u002[27])"
"""A quote as HTML and .NET's JSON write it."""
_QUOTE = rf"""(?:\\{{0,7}}['"`]|{_ENTITY})"""
"""Escaped in a line that is JSON, in JSON within JSON, and in an event's logfmt."""
_COLOUR = r"(?:\x1b\[[0-9;]{0,12}m){0,3}"
"""Libraries colour names and values one by one (structlog, rich, Rust's tracing, which does so in files, too)."""
_FULL_WIDTH = ("\N{FULLWIDTH COLON}", "\N{FULLWIDTH EQUALS SIGN}")
_EQUALS = rf"(?:[ \t]{{0,20}}(?:=>|:=|=|\\{{1,7}}u003d|{_FULL_WIDTH[1]}|\.{{3,}})[ \t]{{0,20}}|%(?:25){{0,2}}3[AaDd])"
_COLON = rf"[ \t]{{0,20}}(?::|{_FULL_WIDTH[0]})[ \t]{{0,20}}"
_ASSIGN = f"(?:{_EQUALS}|{_COLON})"
_LITERAL = r"(?:[bBuUrRfF]{1,2})?"
_CALL = r"(?:[A-Za-z_.]{0,40}(?:secret|str|bytes|token|key|password)\(|\[\]string\{)?"
"""SecretStr('…'), and Go's []string{"…"}"""

# --- values that are no secrets

_END = r"""(?:\\{0,7}['"`]|&quot;|%22|[\s,;)\]}>&|\x1b]|\\[nrt]|\\{1,7}u002[267]|$)"""
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
_HARMLESS = f"{NO_SECRET}{_END}"
_WORD = r"(?-i:[A-Za-z]?[a-z]+)"
_PROSE = rf"{_WORD}[.,:;]?[ \t]+(?-i:[a-z(\"])"
"""A word in front of another one."""
_SOME_WORDS = rf"{_WORD}(?:[ _./'-]{{1,2}}{_WORD})*[.!?]?"
_WORDS = f"{_SOME_WORDS}{_END}"
_COUNT = r"[0-9]+(?:[/.,:x][0-9]+){0,5}(?:[kmg%]|/s)?"
_CAMEL = r"(?-i:[A-Za-z]?[a-z]+(?:[A-Z][a-z]+)+)"
_OBJECT = rf"(?:{_CAMEL}|[a-z]+(?:\.[A-Za-z]+)+)[@({{/]"
"""AddedToken(…), android.os.BinderProxy@2bd79ce"""
_TOO_WEAK = (
    rf"{_WORDS}|{_OBJECT}|{_COUNT}{_END}|{_WORD}:|<[^<>\r\n]{{0,60}}>|\[[A-Za-z_]{{1,20}}\]|[^\s'\",;&]{{0,7}}{_END}"
)
"""Words, special tokens of a tokenizer, objects, and what is too short to be a secret."""

# --- values

_BARE = (
    r"""[^\s'"`,;)\](\[{}\\<>|\x1b][^\s'"`,;)\]}\\\x1b]*"""
    r"""(?:(?:['"`]+|\\+[^nrt\s'"`\\,;)\]}\x1b]|\{)[^\s'"`,;)\]}\\\x1b]+)*"""
)
"""Without quotes. A quote that is followed by more belongs to it."""
_NEXT = r"(?-i:(?:[A-Za-z0-9_.+~][A-Za-z0-9_.+~-]*)?(?:[A-Za-z_][0-9]|[0-9][A-Za-z]|[a-z][A-Z])[A-Za-z0-9_.+~-]*)"
"""A further value behind a bare one: letters and digits mixed."""
_WITHIN = "[A-Za-z0-9_@#$%^*~!-]"
"""Behind a quote it says that the value goes on: behind the last one there is a space, a comma, a bracket."""
_QUOTED = rf"""(?:[^'"\r\n\\]|\\+[^'"\r\n\\]|\\*['"]{_WITHIN})+"""
_QUOTES = (
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
_ITEMS = r"""(?:'[^'\r\n\\]*'|"[^"\r\n\\]*"|[^\])\r\n])+"""
"""Of a list. A bracket within quotes belongs to an item."""
_LONG_VALUE = r"[A-Za-z0-9_~+/=.:@!#$%^*-]{8,}"


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
    before = rf"{name}{_NUMBER}{_COLOUR}(?:{_QUOTE}|%22)?{_COLOUR}\]?"
    named = f"{before}{_ASSIGN}{_COLOUR}"
    keywords = (
        *_keywords(endings),
        *(phrase + follower for phrase in phrases for follower in _FOLLOWERS),
        *_keywords("key token secret password passwd pass pwd credential", _NUMBERS),
    )
    harmless = rf"{_HARMLESS}|{_TOO_WEAK}" if weak else _HARMLESS
    no_item = rf"{_LITERAL}(?:{_QUOTE})?{NO_SECRET}(?:{_QUOTE})?"
    no_items = rf"{no_item}(?:,[ \t]?{no_item})*,?[ \t]?(?:[\])]|$)"
    no_list = rf"[\])]|[0-9., -]+[\])]|{rf'{_LITERAL}(?:{_QUOTE})?(?:{harmless})' if weak else no_items}"
    yield Pattern(
        f"{kind}-list",
        rf"(?i)({named}[\[(])(?:(?P<harmless>{no_list})|{_ITEMS})",
        keywords=keywords,
        also=("[", "("),
    )
    for quoted, quote, value, also in _QUOTES:
        start = rf"{named}{_CALL}{_LITERAL}{quote}"
        yield Pattern(
            f"{kind}-{quoted}",
            rf"(?i)({start})(?:(?P<harmless>{quote}|{harmless})|{_LONG_VALUE if weak else value})",
            keywords=keywords,
            also=also,
        )
    bare = _LONG_VALUE if weak else rf"{_BARE}(?:[,;)]{_NEXT})*"
    # After a colon there may be a sentence.
    for sign, assign, prose in (("equals", _EQUALS, ""), ("colon", _COLON, f"|{_PROSE}")):
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
            rf"(?i)({_FLAG}(?:{_QUOTE})?(?:=|,[ \t]{{0,3}}|[ \t]{{1,3}}){_LITERAL}{quote})"
            rf"(?:(?P<harmless>{quote}|{_HARMLESS}|-)"
            rf"|{value}(?:{quote},[ \t]{{0,3}}{quote}[^'\"\r\n\\-]{value})*)",
            keywords=_FLAG_KEYWORDS,
            also=also,
        )
        for quoted, quote, value, also in _QUOTES
    ),
    Pattern(
        "flag",
        rf"(?i)({_FLAG}(?:=|[ \t]{{1,3}}))"
        rf"(?:(?P<harmless>{_HARMLESS}|{_PROSE}|-)|{_BARE}(?:(?:[;)]|[ \t]+){_NEXT})*)",
        keywords=_FLAG_KEYWORDS,
    ),
)

# --- headers, URLs, commands

_MIXED = r"(?-i:(?:[A-Za-z_]{1,40}[0-9]|[0-9]{1,20}[A-Za-z])[A-Za-z0-9_+/=~-]{12,})"
"""Letters and digits mixed, and long: no word, and no number."""
_SAID = (
    rf"(?:{_QUOTE})?[ \t]{{1,80}}"
    rf"(?:(?:is|was|provided|given|used|received|to|->|value|[|│┃])[ \t:=]{{1,80}})?(?:{_QUOTE})?"
)
"""`API key provided: `, a variable and its value behind ENV or setenv, columns of a table."""
_FIELD = r"[A-Za-z-]{1,24}=(?:\\{0,7}\"[^\"\r\n\\]*\\{0,7}\"|[^\s,'\"\\]+)"
_AUTHORIZATION = rf"authorization(?:{_QUOTE})?[ \t]{{0,3}}[=:,][ \t]{{0,3}}{_LITERAL}(?:{_QUOTE})?"
_SCHEME = r"(?:bearer|basic|token|digest|api-?key|key|bot|negotiate|ntlm|oauth|app_?code|sso-key|acs|oss|cos|aws)"
_CURL = r"\bcurl\b[^\r\n|]{0,400}?[ \t]"
_THEN = r"[ \t](?:[^\r\n|;]{0,400}?[ \t])?"
"""What stands between a command and an option of it."""
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
        rf"(?:(?P<harmless>{_HARMLESS}|{_PROSE})|{_VALUE})",
        keywords=("authorization",),
    ),
    Pattern(
        "authorization-other",
        rf"(?i)({_AUTHORIZATION}[a-z][a-z0-9_-]{{1,30}}[ \t]+)"
        rf"{_MIXED}",
        keywords=("authorization",),
    ),
    Pattern(
        # auth=('bob', '…'), BasicAuth('bob', '…')
        "auth-pair",
        rf"(?i)(auth(?:{_QUOTE})?{_ASSIGN}?\({_LITERAL}{_QUOTE}[^'\"\r\n]{{0,64}}{_QUOTE},"
        rf"[ \t]?{_LITERAL}{_QUOTE})"
        rf"(?:(?P<harmless>{_HARMLESS})|{_QUOTED})",
        keywords=("auth(", "auth=", "auth'", 'auth"'),
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
        rf"(?i)({_NAMED}{_NUMBER}{_QUOTE}[ \t]*,[ \t]*"
        rf"(?:(?:{_QUOTE})?value(?:{_QUOTE})?[ \t]*[:=][ \t]*)?{_LITERAL}{_QUOTE})"
        rf"(?:(?P<harmless>{_HARMLESS}|{_TOO_WEAK})|{_QUOTED})",
        keywords=_keywords(f"{_STRONG_ENDINGS} authorization"),
    ),
    Pattern(
        "said",
        rf"(?i)((?:{STRONG_NAME}|(?:access|secret) key){_NUMBER}{_SAID})(?:(?P<harmless>{_HARMLESS})|{_MIXED})",
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
        rf"(?i)((?:密码|密碼|口令|密钥|秘钥|令牌|授权码)(?:为|是)[ \t:{_FULL_WIDTH[0]}]{{0,4}}(?:{_QUOTE})?)"
        rf"(?:(?P<harmless>{_HARMLESS})|[!#-&(-~]{{3,}})",
        keywords=("密码", "密碼", "口令", "密钥", "秘钥", "令牌", "授权码"),
    ),
    Pattern(
        "jwk",
        rf"((?:{_QUOTE})(?:d|p|q|dp|dq|qi|k)(?:{_QUOTE})[ \t]*:[ \t]*(?:{_QUOTE}))[A-Za-z0-9_-]{{16,}}",
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
        rf"(?i)({STRONG_NAME}\"[ \t]+value=\")(?:(?P<harmless>{_HARMLESS})|[^<\"\r\n]+)",
        keywords=_keywords(_STRONG_ENDINGS, ('" ', '"\t')),
    ),
    Pattern(
        "query",
        r"(?i)([?&;](?:[\w.-]*(?:token|signature|secret)|[\w.-]*sign?|key|code|auth|tkn)=)"
        rf"(?:(?P<harmless>{_HARMLESS}|{_WORD}(?:[_-]{_WORD})+{_END}|[^\s&#'\"<>]{{0,11}}(?:[\s&#'\"<>]|$))|[^\s&#'\"<>]+)",
        keywords=(
            *("token=", "signature=", "secret=", "sig=", "sign=", "tkn="),
            *(mark + name for mark in "?&;" for name in ("key=", "code=", "auth=")),
        ),
    ),
    Pattern(
        "curl-user",
        rf"(?i)({_CURL}(?:-[a-z]{{0,6}}u|--user|--proxy-user)[ \t=]*"
        rf"(?:{_QUOTE})?[^\s:'\"]{{1,64}}:)[^\s'\"]+",
        keywords=("curl",),
    ),
    Pattern(
        "curl-proxy",
        rf"({_CURL}(?:-x|--proxy|--preproxy)[ \t=]*(?:{_QUOTE})?[^\s:/@'\"]{{1,64}}:)[^\s@'\"]+@",
        kept_behind="@",
        keywords=("curl",),
    ),
    Pattern(
        "curl-cookie",
        rf"({_CURL}(?:-b|--cookie)[ \t=]*(?:{_QUOTE})?[A-Za-z0-9_.-]{{1,60}}=)[^\s'\"]{{4,}}",
        keywords=("curl",),
    ),
    Pattern(
        "command-key",
        r"(\b(?:ossutil(?:64)?|obsutil|tosutil|coscmd|swanlab)\b[^\r\n|;]{0,400}?[ \t]-[ks][ \t=]*['\"]?)"
        rf"(?:{_MIXED}|[A-Za-z0-9]{{28,}})",
        keywords=("ossutil", "obsutil", "tosutil", "coscmd", "swanlab"),
    ),
    Pattern(
        "registry-credentials",
        r"(--(?:src-|dest-)?creds[ \t=]+['\"]?[^\s:'\"]{1,64}:)[^\s'\"]+",
        keywords=("creds ", "creds=", "creds\t"),
    ),
    Pattern(
        "redis-password",
        rf"(?i)(\b(?:requirepass|masterauth)(?:{_QUOTE})?[ \t]+(?:{_QUOTE})?)"
        rf"(?:(?P<harmless>{_HARMLESS}|{_PROSE})|[^\s'\"]+)",
        keywords=("requirepass ", "requirepass\t", 'requirepass"', "masterauth"),
    ),
    Pattern(
        "sql-password",
        r"(\b(?:IDENTIFIED[ \t]+BY|user[ \t][^\r\n;]{1,200}?[ \t]identified[ \t]+by)[ \t]+"
        r"(?:(?i:password)[ \t]+)?\\{0,7}['\"])[^'\"\r\n\\]+",
        keywords=("identified",),
    ),
    Pattern(
        "command-argument",
        r"(\b(?:(?:wandb|vault)[ \t]+login(?:[ \t]+--?[a-z-]+)*|(?:config[ \t]+add-|ngrok[ \t]+)authtoken"
        r"|mc[ \t]+(?:alias[ \t]+set|config[ \t]+host[ \t]+add|admin[ \t]+user[ \t]+add)(?:[ \t]+[^\s]{1,200}){2,3}"
        r"|aws[ \t]+configure[ \t]+set[ \t]+aws_[a-z_]{1,40})[ \t]+['\"]?)[A-Za-z0-9_+/=.-]{16,}",
        keywords=("login ", "login\t", "alias set ", "host add ", "user add ", "configure set ", "authtoken "),
    ),
    Pattern(
        "command-password",
        rf"(\b(?:sshpass[ \t]+-p[ \t]*|(?:mysql|mysqldump|mysqladmin|mariadb(?:-[a-z]+)?){_THEN}-p"
        rf"|(?:mongosh?|mongodump|mongorestore|mongoexport|mongoimport){_THEN}-p[ \t]*"
        rf"|redis-cli{_THEN}-a[ \t]+|(?:docker|podman|nerdctl|buildah|helm|skopeo|oras|az)[ \t]"
        rf"[^\r\n|;]{{0,400}}?\blogin{_THEN}-p[ \t]+"
        rf"|(?:sqlcmd|ipmitool|mosquitto_[a-z]+|unzip|zip){_THEN}-P[ \t]*"
        rf"|(?:7z[arz]?|rar|unrar){_THEN}-h?p|openssl{_THEN}-[kK][ \t]+"
        rf"|ldap[a-z]+{_THEN}-w[ \t]*|(?:beeline|cqlsh|racadm){_THEN}-p[ \t]+"
        rf"|snmp[a-z]+{_THEN}-[AX][ \t]*|lftp[ \t][^\r\n|;]{{0,400}}?-u[ \t]*[^\s,]{{1,64}},"
        r"|rabbitmqctl[ \t]+(?:add_user|change_password)[ \t]+[^\s]{1,64}[ \t]+"
        r"|config[ \t]+http-basic\.[^\s]+[ \t]+[^\s]{1,64}[ \t]+"
        rf"|rclone[ \t]+config[ \t]+(?:create|update){_THEN}pass[ \t=]+"
        rf"|smbclient{_THEN}-U[ \t]*[^\s%]{{1,64}}%"
        r"|etcdctl[ \t][^\r\n|;]{0,400}?--user[ =][^\s:'\"]{1,64}:|sqlplus[ \t]+[^\s/]{1,64}/"
        r"|htpasswd[ \t]+-[A-Za-z]*b[A-Za-z]*[ \t]+[^\s]{1,200}[ \t]+[^\s]{1,64}[ \t]+)['\"]?)[^\s'\"-][^\s'\"]*",
        keywords=(
            *("login ", "login\t", "zip -p", "unzip ", "sshpass", "mysql", "mariadb", "mongo", "redis-cli", "sqlcmd"),
            *("ipmitool", "mosquitto_", "ldap", "beeline", "cqlsh", "racadm", "snmp", "lftp", "rabbitmqctl"),
            *("http-basic.", "smbclient", "etcdctl", "sqlplus", "htpasswd", "rclone config", "openssl "),
            *("7z ", "7za ", "7zz ", "7zr ", "unrar ", " rar "),
        ),
    ),
    Pattern(
        "openssl-password", r"(-pass(?:in|out)?[ \t]+['\"]?pass:)[^\s'\"]+", keywords=(" pass:", "'pass:", '"pass:')
    ),
    Pattern(
        # Typed behind the prompt of redis-cli
        "redis-auth",
        r"(?i)([a-z0-9\])]> auth[ \t]+(?:[^\s]{1,64}[ \t]+)?)[^\s]+[ \t]*$",
        keywords=("> auth ",),
    ),
    Pattern(
        # HELLO may have the same; MONITOR prints each argument in quotes
        "redis-hello",
        r"(?i)(\bhello[ \t]+[23][ \t]+auth[ \t]+[^\s]{1,64}[ \t]+|\"auth\"(?:[ \t]+\"[^\"\s]{1,64}\")?[ \t]+\")"
        r"(?:(?P<harmless>\(redacted\))|[^\s\"]+)",
        keywords=('auth" "', "hello 2 auth ", "hello 3 auth "),
    ),
    Pattern(
        "redis-user",
        r"(?i)(\bacl\"?[ \t]+\"?setuser\b[^\r\n]{0,400}?[ \t]\"?>)[^\s\"]+",
        keywords=("setuser ", 'setuser"'),
    ),
    Pattern(
        "kubectl-secret",
        r"(\bcreate[ \t]+secret[ \t][^\r\n]{0,400}?--from-literal[= ]['\"]?[^\s='\"]{1,64}=)"
        r"[^\s'\"]+(?:['\"]?[ \t]+--from-literal[= ][^\s]+)*",
        keywords=("--from-literal",),
    ),
    Pattern("conda-token", r"(conda[^\s'\"<>]{0,100}/t/)[^\s/'\"<>]{4,}", keywords=("/t/",), also=("conda",)),
    *(
        Pattern(
            f"piped-to-{command}",
            rf"(\becho[ \t]+(?:-[a-z]+[ \t]+)?['\"]?)[^|\s][^|\r\n]{{0,400}}\| {command} login ",
            kept_behind=f"| {command} login ",
            keywords=("login ",),
        )
        for command in ("docker", "podman")
    ),
    Pattern(
        "piped-to-chpasswd",
        r"(\becho[ \t]+(?:-[a-z]+[ \t]+)?['\"]?[^\s:'\"|]{1,64}:)[^\s|][^|\r\n]{0,400}\| chpasswd",
        kept_behind="| chpasswd",
        keywords=("chpasswd",),
    ),
    Pattern(
        # A line of .pgpass: host, port, database, user
        "pgpass",
        r"(:5432:[^:\s/]{1,64}:[^:\s/]{1,64}:)[^\s:]+",
        keywords=(":5432:",),
    ),
    Pattern(
        # kaggle.json
        "kaggle",
        rf"({_QUOTE}username{_QUOTE}[ \t]*:[ \t]*{_QUOTE}[^\s'\"\\]{{1,64}}{_QUOTE}[ \t]*,[ \t]*"
        rf"{_QUOTE}key{_QUOTE}[ \t]*:[ \t]*{_QUOTE})[0-9a-f]{{32}}",
        keywords=("username",),
    ),
    Pattern(
        # wandb.login(key='…'), HubApi().login('…'), notebook_login(…)
        "login-call",
        rf"(login\((?:[a-z_]{{1,20}}=)?{_QUOTE}){_MIXED}",
        keywords=("login('", 'login("', "login(key", "login(token", "login(access"),
    ),
    Pattern("unseal-key", r"(?i)(\bunseal key(?: [0-9]{1,2})?:[ \t]+)[a-z0-9+/=]{20,}", keywords=("unseal key",)),
    Pattern(
        "netrc",
        rf"(?i)(\blogin[ \t]+[^\s]{{1,64}}[ \t]+password[ \t]+(?:{_QUOTE})?)(?:(?P<harmless>{_PROSE})|[^\s'\"]+)",
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
    Pattern("go-dsn", r"(\b[A-Za-z0-9_.-]{1,64}:)[^\s'\"]{1,200}@tcp\(", kept_behind="@tcp(", keywords=("@tcp(",)),
    Pattern(
        # The user is the token: pip hides the password behind it (Gemfury's is empty), GitHub's says what it is.
        "url-token",
        r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://)"
        r"(?:(?P<harmless>[a-z]+(?:[_-]?[A-Z]?[a-z]+)*)|[A-Za-z0-9_-]{24,200}|(?:[A-Za-z_-]{1,40}[0-9]|[0-9]{1,20}[A-Za-z])[A-Za-z0-9_-]{12,200}"
        r":(?:\*{3,4}|x-oauth-basic)?)@",
        kept_behind="@",
        keywords=("@",),
    ),
)

PATTERNS = (
    *_FLAGS,
    *_OTHERS,
    *_assigned("named", STRONG_NAME, _STRONG_ENDINGS),
    *_assigned("short-named", _SHORT, "pass pw ak sk", weak=True),
    *_assigned("weakly-named", _WEAK, "token secret secrets signature authorization auth sig", (" key",), weak=True),
    Pattern(
        # A variable of the environment whose name no list has: LLM_KEY=…
        "variable",
        rf"(\b(?:[A-Z][A-Z0-9]*_){{0,6}}KEY(?:{_QUOTE})?{_ASSIGN}{_LITERAL}(?:{_QUOTE})?)"
        rf"(?:(?P<harmless>{_HARMLESS})|{_MIXED})",
        keywords=_keywords("key", ("=", ":", " =", " :", '"', "'")),
        also=("KEY",),
    ),
)
