"""Secrets that are known by their own shape: tokens with a provider's prefix, JWTs, webhooks, keys in PEM form.

The prefixes and alphabets are facts that the providers document; gitleaks, detect-secrets and trufflehog list them.
Lengths are lower bounds below the documented ones, because a token may be cut. At most eleven characters of a prefix
are kept, enough to see what it was.
"""

import re

from tracetail.contract.secret_pattern import Pattern, Trigger

_HEX = "[0-9a-fA-F]"
_ALNUM = "[A-Za-z0-9]"
_WORD = "[A-Za-z0-9_-]"
_DOTTED = "[A-Za-z0-9_.=+/~-]"

_PREFIXES = (
    # name, alphabet, least length, prefixes
    # Google's OAuth, Vault, Doppler, Dynatrace, SendGrid, Fly, Mapbox, Sentry, Grafana, Baidu, Slack, and GitHub's
    # installation tokens, which are JWTs behind their prefix since 2026
    (
        "token-dotted",
        _DOTTED,
        16,
        """
        ya29. hvs. hvb. hvr. dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. dt0c01. dt0s01. SG. fm1a_
        fm1r_ fm2_ sk.eyJ pk.eyJ sntrys_ ops_eyJ eyJrIjoi bce-v3/ sha256~ 1//0 xoxe.xoxb- xoxe.xoxp-
        snyk_uat. IQoJb3JpZ FwoGZXIvY hf_oauth_ hf_jwt_ hf_app_ ghs_
    """,
    ),
    # Databricks, DigitalOcean, Pulumi, RubyGems, Shopify, Mailgun, ElevenLabs, Sourcegraph, Sentry, Twilio
    (
        "token-hex",
        _HEX,
        24,
        """
        dapi dop_v1_ doo_v1_ dor_v1_ pul- rubygems_ glptt- sntryu_ shpat_ shpca_ shppa_ shpss_ shptka_
        key- pubkey- sk_ sgp_ sgp_local_ SK0 SK1 SK2 SK3 SK4 SK5 SK6 SK7 SK8 SK9 SKa SKb SKc SKd SKe SKf
    """,
    ),
    # Hugging Face, Groq, Replicate, xAI, Perplexity, GitHub, npm, SonarQube, Alibaba, Tencent, Volcengine, Baidu
    (
        "token",
        _ALNUM,
        12,
        """
        hf_ api_org_ gsk_ r8_ pplx- jina_ csk- rpa_ ABSK ghp_ gho_ ghu_ ghr_ npm_ pnu_ squ_
        sqp_ sqa_ bkua_ bkat_ rdme_ p8e- vcp_ n8n_api_ STS. LTAI AKID AKLT AKTP ALTAK ALTAK- ico- EZAK
        EZTK lin_api_ lin_oauth_ ntn_ AKCp HRKU- ATATT3 ATCTT3 ATBB CLOJARS_ sm_aat_ sm_pat_ sm_sat_
    """,
    ),
    # Fireworks, Dify, FastGPT, RAGFlow, ModelScope, Render, Tailscale, Facebook, Kaggle, Cloudflare, Vercel,
    # LlamaCloud, E2B, Daytona, Browserbase, Honeycomb, Xata, Atlas, Adafruit, Dependency-Track, Trello
    (
        "token-short-prefix",
        _ALNUM,
        20,
        """
        fw_ app- dataset- fastgpt- ragflow- fc- exa_ ms- rnd_ cmVmd EAAA EAAB EAAC EAAG EAAM KGAT_
        cfut_ cfat_ cfk_ vck_ llx- e2b_ dtn_ bb_live_ hcaik_ xau_ mdb_sa_sk_ aio_ odt_ ATTA
    """,
    ),
    ("token-long", _ALNUM, 32, "secret_ pat_ sat_ oy2 IGQV"),
    # OpenAI, Anthropic, NVIDIA, Together, Langfuse, GitLab, Slack, Stripe, Docker, Grafana, W&B, Google
    (
        "token-word",
        _WORD,
        12,
        """
        sk- nvapi- tgp_v1_ pk-lf- wandb_v1_ pcsk_ tvly- esecret_ zpka_ lsv2_pt_ lsv2_sk_ github_pat_
        glpat- gldt- glrt- glcbt- glft- glimt- glagent- gloas- glsoat- glffct- GR1348941 pypi- dckr_pat_
        dckr_oat_ PMAK- CFPAT- glsa_ glc_ NRAK- NRII- NRJS- NRAL- phc_ phx_ figd_ figo_ nfp_ CCIPAT_
        CCIPRJ_ xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- xkeysib- xsmtpsib- sq0atp-
        sq0csp- sq0idp- fio-u- tk-us- nyk_ tfp_ whsec_ sk_live_ sk_test_ sk_prod_ sk_org_ rk_live_
        rk_test_ rk_prod_ napi_ sbp_ sb_secret_ AVNS_ APP_USR- dnkey- pdl_live_ pdl_sdbx_ FLWSECK-
        GOCSPX- tskey-auth- tskey-api- xai- pylf_v1_
    """,
    ),
    ("token-google", _WORD, 20, "AIza AQ. AQVN fo1_ CfDJ8 amzn.mws."),
    ("token-voyage", _WORD, 40, "pa- tskey- v1.0- dG9rOi AAAAAAAAAA"),
    ("token-dropbox", _DOTTED, 100, "sl."),
)
_LONG_PREFIXES = (
    ("AGE-SECRET", "-KEY-1[A-Z0-9]{20,}"),
    ("bedrock", f"-api-key-{_DOTTED}{{16,}}"),
    ("pscale", f"_(?:tkn|oauth|pw)_{_DOTTED}{{16,}}"),
    ("FLWSECK", f"_TEST-{_WORD}{{12,}}"),
    ("duffel", f"_(?:live|test)_{_WORD}{{20,}}"),
    ("shippo", "_(?:live|test)_[0-9a-f]{24,}"),
    ("secret", f"-(?:live|test)-{_DOTTED}{{20,}}"),
    ("amzn1", f"\\.oa2-cs\\.{_DOTTED}{{20,}}"),
)
_DIGIT_Q = " ".join(f"{digit}q~" for digit in range(10))
_OWN_SHAPES = (
    # name, what is kept, the rest, keywords
    ("jwt", r"(\beyJ)", r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*){0,3}=*", "eyj"),
    ("jwt-base64", r"(\bZXlK)", r"[A-Za-z0-9+/_-]{40,}=*", "zxlk"),
    # "-----BEGIN PRIVATE KEY", and that of RSA, EC, OPENSSH and ENCRYPTED: a Secret of Kubernetes
    (
        "private-key-base64",
        r"(\bLS0tLS1CRUdJTiB)",
        r"(?:QUklWQVRF|SU0EgUFJJVkFURS|FQyBQUklWQVRF|PUEVOU1NIIFBSSVZBVE|FTkNSWVBURUQgUFJJVkFURS)[A-Za-z0-9+/_-]{20,}=*",
        "ls0tls1crudjtib",
    ),
    ("aws-id", r"(\bA(?:KIA|SIA|BIA|CCA|GPA|3T[A-Z0-9]))", "[A-Z0-9]{16,}", "akia asia abia acca agpa a3t"),
    ("telegram", r"((?:\b|bot)[0-9]{4})", r"[0-9]{1,8}:AA[A-Za-z0-9_-]{20,}", ":aa"),
    ("azure-client-secret", r"(\b[A-Za-z0-9_~.]{3})", r"[0-9]Q~[A-Za-z0-9_~.-]{24,}", _DIGIT_Q),
    ("terraform", r"(\b[A-Za-z0-9]{4})", r"[A-Za-z0-9]{10}\.atlasv1\.[A-Za-z0-9_=-]{20,}", ".atlasv1."),
    ("clickhouse", r"(\b4b1d)", r"[A-Za-z0-9]{38}\b", "4b1d"),  # of this very length: digests may begin so, too
    ("mailchimp", r"(\b[0-9a-f]{4})", r"[0-9a-f]{28}-us[0-9]{1,2}\b", "-us"),
    ("onepassword", r"(\bA3-)", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5})+", "a3-"),
    ("maxmind", r"(\b[A-Za-z0-9]{6}_)", r"[A-Za-z0-9]{29}_mmk", "_mmk"),
    # Azure's keys since 2024: a signature within says what they are
    ("azure-key", r"(\b[A-Za-z0-9]{4})", r"[A-Za-z0-9]{32,60}JQQJ99[A-Za-z0-9]{16,}", "jqqj99"),
    # What crypt, bcrypt, htpasswd and argon2 make of a password
    (
        "password-hash",
        r"(\$(?:2[aby]|6|y|apr1|argon2id?)\$)",
        r"[./A-Za-z0-9$=,+]{20,}",
        "$2a$ $2b$ $2y$ $6$ $y$ $apr1$ $argon2",
    ),
    (
        "authress",
        r"(\b(?:sc|ext|scauth|authress)_)",
        r"[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][A-Za-z0-9+/_.=-]{20,}",
        ".acc_ .acc-",
    ),
    ("harness", r"(\b[ps]at\.)", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{10,}", "pat. sat."),
)
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TRIGGERED = (
    # name, what is kept, the rest, and what is looked for: they have no literal text that is rare
    ("airtable", r"(\bpat)", r"[A-Za-z0-9]{14}\.[0-9a-f]{24,}", Trigger(("pat",), "A-Za-z0-9", 14, ".")),
    ("zhipu", r"(\b[0-9a-f]{4})", r"[0-9a-f]{28}\.[A-Za-z0-9]{16,}", Trigger((), "0-9a-f", 32, ".")),
    ("asana", r"(\b[0-2]/[0-9]{4})", r"[0-9]{8,}:[0-9a-f]{24,}", Trigger(("0/", "1/", "2/"), "0-9", 12)),
    ("modelscope", r"(\b(?:ms|ark|luma)-)", _UUID, Trigger(("ms-", "ark-", "luma-"), "0-9a-f", 8, "-")),
    ("wandb-local", r"(\blocal-)", "[0-9a-f]{32,}", Trigger(("local-",), "0-9a-f", 16)),
    ("baidu", r"(\b24\.)", r"[0-9a-f]{32}\.[0-9.-]+", Trigger(("24.",), "0-9a-f", 32, ".")),
    ("hubspot", r"(\bpat-)", rf"[a-z]{{2,4}}[0-9]-{_UUID}", Trigger(("pat-",), "a-z", 2)),
    ("firebase", r"(\bAAAA)", r"[A-Za-z0-9_-]{7}:[A-Za-z0-9_-]{100,}", Trigger(("AAAA",), "A-Za-z0-9_-", 7, ":")),
    # DingTalk, Yandex, Octopus, crates.io, Modal, GoCardless and Lob
    ("dingtalk", r"(\bSEC)", "[0-9a-f]{40,}", Trigger(("SEC",), "0-9a-f", 6)),
    ("yandex", r"(\bt1\.)", r"[A-Za-z0-9_-]{40,}\.[A-Za-z0-9_=-]{40,}", Trigger(("t1.",), "A-Za-z0-9_-", 6)),
    ("octopus", r"(\bAPI-)", "[A-Z0-9]{20,}", Trigger(("API-",), "A-Z0-9", 6)),
    ("crates", r"(\bcio)", "[A-Za-z0-9]{32,}", Trigger(("cio",), "A-Za-z0-9", 6)),
    ("modal", r"(\ba[ks]-)", "[A-Za-z0-9]{20,}", Trigger(("ak-", "as-"), "A-Za-z0-9", 6)),
    (
        "live",
        r"(\b(?:live|test)_(?:pub_)?)",
        "[A-Za-z0-9]{30,}",
        Trigger(("live_", "live_pub_", "test_", "test_pub_"), "A-Za-z0-9", 12),
    ),
)
_WEBHOOKS = (
    # the part of the URL by which it is found, and what follows
    ("hooks.slack.com/", "(?:services|workflows|triggers)/"),
    ("hooks.slack-gov.com/", "(?:services|workflows|triggers)/"),
    ("open.feishu.cn/open-apis/bot/", ""),
    ("open.larksuite.com/open-apis/bot/", ""),
    ("open.larkoffice.com/open-apis/bot/", ""),
    ("feishu.cn/flow/api/trigger-webhook/", ""),
    ("qyapi.weixin.qq.com/cgi-bin/webhook/", ""),
    ("oapi.dingtalk.com/robot/", ""),
    ("api.dingtalk.com/v1.0/robot/", ""),
    ("discord.com/api/webhooks/", ""),
    ("discordapp.com/api/webhooks/", ""),
    ("webhook.office.com/", ""),
    ("outlook.office.com/webhook/", ""),
    ("outlook.office365.com/webhook/", ""),
    ("logic.azure.com", r"(?::443)?/workflows/"),
    ("chat.googleapis.com/v1/spaces/", ""),
    ("hooks.zapier.com/hooks/", ""),
    ("maker.ifttt.com/", ""),
    ("api.telegram.org/bot", "[0-9]"),
    ("sctapi.ftqq.com/", ""),
    ("sc.ftqq.com/", ""),
    ("api.day.app/", "[A-Za-z0-9]{16}"),
    ("pushplus.plus/send", ""),
    ("wxpusher.zjiecode.com/api/send/", ""),
    ("events.pagerduty.com/integration/", ""),
)
_BEGIN = r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}"
_WORDS = r"(?P<harmless>(?:[a-z]+(?:[_-][a-z]+)+|transformers)(?:[^A-Za-z0-9_-]|$))"
"""`hf_hub_download`, `sk-some-option`, SGLang's `hf_transformers`: words, no token."""


def _prefixed(name: str, alphabet: str, length: int, prefixes: str) -> Pattern:
    words = prefixes.split()
    return Pattern(
        name,
        rf"(\b(?:{'|'.join(re.escape(word) for word in words)}))(?:{_WORDS}|{alphabet}{{{length},}})",
        keywords=tuple(word.lower() for word in words),
        trigger=Trigger(tuple(words), alphabet[1:-1], length),
    )


_WEBHOOK = "|".join(re.escape(found) + more for found, more in _WEBHOOKS)

PATTERNS = (
    # s3fs, ossfs and cosfs: the id of a key and the key, in one line
    Pattern(
        "id-and-key",
        r"(\b(?:AKIA|ASIA|LTAI|AKID|AKLT|ALTAK)[A-Za-z0-9]{12,60}:)[A-Za-z0-9+/=]{20,}",
        trigger=Trigger(("AKIA", "ASIA", "LTAI", "AKID", "AKLT", "ALTAK"), "A-Za-z0-9", 12),
    ),
    Pattern("private-key", rf"({_BEGIN})[^-\s].*?(?:-{{4,5}} ?END [A-Z0-9 -]+|$)", keywords=("private key",)),
    Pattern(
        "webhook",
        rf"(?i)((?:https?://)?)(?:[a-z0-9-]{{1,63}}\.){{0,4}}(?:{_WEBHOOK})[^\s'\"<>)\\]+",
        keywords=tuple(found for found, _ in _WEBHOOKS),
    ),
    *(Pattern(name, kept + rest, keywords=tuple(keys.split())) for name, kept, rest, keys in _OWN_SHAPES),
    *(Pattern(name, kept + rest, trigger=trigger) for name, kept, rest, trigger in _TRIGGERED),
    *(_prefixed(*row) for row in _PREFIXES),
    Pattern(
        "token-long-prefix",
        rf"(\b(?:{'|'.join(kept for kept, _ in _LONG_PREFIXES)}))(?:{'|'.join(rest for _, rest in _LONG_PREFIXES)})",
        keywords=tuple(kept.lower() for kept, _ in _LONG_PREFIXES),
    ),
)
