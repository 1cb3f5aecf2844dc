"""Secrets in options of commands, in their configuration files, and in URLs."""

from tracetail.contract.secret_pattern import Pattern
from tracetail.contract.secret_values import HARMLESS, MIXED, PROSE, QUOTE

_CURL = r"\bcurl\b[^\r\n|]{0,400}?[ \t]"
_THEN = r"[ \t](?:[^\r\n|;]{0,400}?[ \t])?"
"""What stands between a command and an option of it."""

PATTERNS = (
    Pattern(
        "curl-user",
        rf"(?i)({_CURL}(?:-[a-z]{{0,6}}u|--user|--proxy-user)[ \t=]*"
        rf"(?:{QUOTE})?[^\s:'\"]{{1,64}}:)[^\s'\"]+",
        keywords=("curl",),
    ),
    Pattern(
        "curl-proxy",
        rf"({_CURL}(?:-x|--proxy|--preproxy)[ \t=]*(?:{QUOTE})?[^\s:/@'\"]{{1,64}}:)[^\s@'\"]+@",
        kept_behind="@",
        keywords=("curl",),
    ),
    Pattern(
        "curl-cookie",
        rf"({_CURL}(?:-b|--cookie)[ \t=]*(?:{QUOTE})?[A-Za-z0-9_.-]{{1,60}}=)[^\s'\"]{{4,}}",
        keywords=("curl",),
    ),
    Pattern(
        "command-key",
        r"(\b(?:ossutil(?:64)?|obsutil|tosutil|coscmd|swanlab)\b[^\r\n|;]{0,400}?[ \t]-[ks][ \t=]*['\"]?)"
        rf"(?:{MIXED}|[A-Za-z0-9]{{28,}})",
        keywords=("ossutil", "obsutil", "tosutil", "coscmd", "swanlab"),
    ),
    Pattern(
        "registry-credentials",
        r"(--(?:src-|dest-)?creds[ \t=]+['\"]?[^\s:'\"]{1,64}:)[^\s'\"]+",
        keywords=("creds ", "creds=", "creds\t"),
    ),
    Pattern(
        "redis-password",
        rf"(?i)(\b(?:requirepass|masterauth)(?:{QUOTE})?[ \t]+(?:{QUOTE})?)"
        rf"(?:(?P<harmless>{HARMLESS}|{PROSE})|[^\s'\"]+)",
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
        rf"({QUOTE}username{QUOTE}[ \t]*:[ \t]*{QUOTE}[^\s'\"\\]{{1,64}}{QUOTE}[ \t]*,[ \t]*"
        rf"{QUOTE}key{QUOTE}[ \t]*:[ \t]*{QUOTE})[0-9a-f]{{32}}",
        keywords=("username",),
    ),
    Pattern(
        # wandb.login(key='…'), HubApi().login('…'), notebook_login(…)
        "login-call",
        rf"(login\((?:[a-z_]{{1,20}}=)?{QUOTE}){MIXED}",
        keywords=("login('", 'login("', "login(key", "login(token", "login(access"),
    ),
    Pattern("unseal-key", r"(?i)(\bunseal key(?: [0-9]{1,2})?:[ \t]+)[a-z0-9+/=]{20,}", keywords=("unseal key",)),
    Pattern(
        "netrc",
        rf"(?i)(\blogin[ \t]+[^\s]{{1,64}}[ \t]+password[ \t]+(?:{QUOTE})?)(?:(?P<harmless>{PROSE})|[^\s'\"]+)",
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
