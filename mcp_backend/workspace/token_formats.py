"""The forms of tokens that their issuers publish, each with its source."""

from mcp_backend.workspace.more_formats import MORE
from mcp_backend.workspace.service_formats import SERVICES
from mcp_backend.workspace.token_format import Format

FORMATS: tuple[Format, ...] = (
    Format(
        "AWS access key",
        ("AKIA", "ASIA"),
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html",
    ),
    Format(
        "GitHub token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{82})\b",
        "https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/",
    ),
    Format(
        "GitLab token",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "gloas-", "glsoat-"),
        r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat)-[A-Za-z0-9_.-]{20,}",
        "https://docs.gitlab.com/security/tokens/#token-prefixes",
    ),
    Format(
        "Slack token",
        ("xox", "xapp-"),
        r"\bxox[abeprs]-(?:\d+-){1,3}(?=[\d-]*[A-Za-z])[A-Za-z0-9-]{16,}|\bxapp-\d-[A-Z0-9]+-\d+-[a-f0-9]{32,}",
        "https://docs.slack.dev/authentication/tokens",
    ),
    Format(
        "Slack webhook",
        ("hooks.slack.com",),
        r"https?://hooks\.slack\.com/(?:services"
        r"|workflows)/T[A-Z0-9]{6,}/[AB][A-Z0-9]{6,}/[A-Za-z0-9/]{20,}",
        "https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    ),
    Format(
        "Stripe live key",
        ("k_live_", "k_prod_"),
        r"\b[sr]k_(?:live|prod)_[A-Za-z0-9]{16,}",
        "https://docs.stripe.com/keys",
    ),
    Format(
        "Google API key",
        ("AIza",),
        r"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])",
        "https://docs.cloud.google.com/docs/authentication/api-keys",
    ),
    Format(
        "Google client secret",
        ("GOCSPX-",),
        r"\bGOCSPX-[A-Za-z0-9_-]{28}",
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    Format(
        "Anthropic key",
        ("sk-ant-",),
        r"\bsk-ant-[a-z]+\d{2}-[A-Za-z0-9_-]{80,}",
        "https://platform.claude.com/docs/en/api/overview",
    ),
    Format(
        "OpenAI key",
        ("T3BlbkFJ",),
        r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20})T3BlbkFJ[A-Za-z0-9_-]{20,}",
        "https://platform.openai.com/docs/api-reference/authentication",
    ),
    Format(
        "Hugging Face token",
        ("hf_",),
        r"\bhf_[A-Za-z0-9]{34}\b",
        "https://huggingface.co/docs/hub/security-tokens",
    ),
    Format(
        "npm token",
        ("npm_",),
        r"\bnpm_[A-Za-z0-9]{36}\b",
        "https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
    ),
    Format(
        "PyPI token",
        ("pypi-AgE",),
        r"\bpypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[A-Za-z0-9_-]{50,}",
        "https://github.com/pypi/warehouse",
    ),
    Format(
        "SendGrid key",
        ("SG.",),
        r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
    ),
    Format(
        "DigitalOcean token",
        ("_v1_",),
        r"\bdo[opr]_v1_[a-f0-9]{64}\b",
        "https://docs.digitalocean.com/reference/api/create-personal-access-token/",
    ),
    Format(
        "Shopify token",
        ("shpat_", "shpca_", "shppa_", "shpss_"),
        r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
        "https://shopify.dev/docs/apps/build/authentication-authorization",
    ),
    Format(
        "Docker token",
        ("dckr_",),
        r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}",
        "https://docs.docker.com/security/access-tokens/",
    ),
    Format(
        "Databricks token",
        ("dapi",),
        r"\bdapi[a-f0-9]{32}(?:-\d)?\b",
        "https://docs.databricks.com/aws/en/dev-tools/auth/pat",
    ),
    Format(
        "Vault token",
        ("hvs.", "hvb.", "hvr."),
        r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes",
    ),
    Format(
        "Telegram bot token",
        (":AA",),
        r"\b\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])",
        "https://core.telegram.org/bots/api#authorizing-your-bot",
    ),
    Format(
        "age secret key",
        ("AGE-SECRET-KEY-1",),
        r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b",
        "https://age-encryption.org/v1",
    ),
    Format(
        "Azure storage key",
        ("AccountKey=",),
        r"AccountKey=[A-Za-z0-9+/]{86}==",
        "https://learn.microsoft.com/en-us/azure/storage/common/storage-configure-connection-string",
    ),
    Format(
        "Azure client secret",
        ("Q~",),
        r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~.-])",
        "https://learn.microsoft.com/en-us/purview/sit-defn-azure-ad-client-secret",
    ),
    Format(
        "Grafana token",
        ("glsa_",),
        r"\bglsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}\b",
        "https://grafana.com/docs/grafana/latest/administration/service-accounts/",
    ),
    Format(
        "Notion token",
        ("ntn_",),
        r"\bntn_\d{11}[A-Za-z0-9]{35}\b",
        "https://developers.notion.com/reference/authentication",
    ),
    Format(
        "Fly token",
        ("fo1_", "fm1r_", "fm1a_", "fm2_"),
        r"\bfo1_[\w-]{43}(?![\w-])|\bfm(?:1[ar]|2)_[A-Za-z0-9+/]{100,}",
        "https://fly.io/docs/security/tokens/",
    ),
    Format(
        "Sourcegraph token",
        ("sgp_",),
        r"\bsgp_(?:[a-fA-F0-9]{16}_)?[a-fA-F0-9]{40}\b",
        "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
    ),
    Format(
        "Mailchimp key",
        ("-us",),
        r"\b[a-f0-9]{32}-us\d{1,2}\b",
        "https://mailchimp.com/developer/marketing/guides/quick-start/",
    ),
    Format(
        "Sentry token",
        ("sntrys_", "sntryu_"),
        r"\bsntrys_eyJ[\w+/=-]{80,}|\bsntryu_[a-f0-9]{64}\b",
        "https://docs.sentry.io/account/auth-tokens/",
    ),
    Format(
        "Square token",
        ("sq0atp-", "sq0csp-"),
        r"\bsq0(?:atp-[\w-]{22}|csp-[\w-]{43})(?![\w-])",
        "https://developer.squareup.com/docs/build-basics/access-tokens",
    ),
    Format(
        "npm registry token",
        ("_authToken=",),
        r":_authToken=\s*[a-f0-9]{8}(?:-[a-f0-9]{4}){3}-[a-f0-9]{12}\b",
        "https://github.com/npm/cli/blob/latest/docs/lib/content/configuring-npm/npmrc.md",
    ),
    *MORE,
    *SERVICES,
)
