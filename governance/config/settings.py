"""Django settings, read from the environment (prefix WEIR_, DATABASE_URL); every value has a safe default.

One data folder, `WEIR_HOME`, holds all state of the embedded default: database, lake, broker, secrets.
"""

from pathlib import Path

from environs import Env

BASE_DIR = Path(__file__).resolve().parent.parent.parent

env = Env()

# The demo company never shares a folder with real bills: it lives in `demo` below the data folder.
WEIR_DEMO = env.bool("WEIR_DEMO", False)
WEIR_HOME = Path(env.str("WEIR_HOME", "") or BASE_DIR / "var").expanduser().resolve() / ("demo" if WEIR_DEMO else "")
# With the demo comes a live gateway with a little traffic; its port is any free one unless given.
WEIR_LIVE_DEMO = env.bool("WEIR_LIVE_DEMO", WEIR_DEMO)
WEIR_GATEWAY_PORT = env.int("WEIR_GATEWAY_PORT", 0)
WEIR_LAKE = Path(env.str("WEIR_LAKE", str(WEIR_HOME / "lake")))
# DuckDB limits of one engine connection; pages use their own, smaller ones.
WEIR_ENGINE_MEMORY = env.str("WEIR_ENGINE_MEMORY", "2GB")
WEIR_ENGINE_THREADS = env.int("WEIR_ENGINE_THREADS", 2)

DEBUG = env.bool("WEIR_DEBUG", False)
ALLOWED_HOSTS = env.list("WEIR_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("WEIR_CSRF_TRUSTED_ORIGINS", [])
# Where people reach the pages: the links in messages begin with it.
WEIR_PUBLIC_URL = env.str("WEIR_PUBLIC_URL", "http://localhost:8000")
# The mail server, smtp://, smtp+starttls:// or smtps:// with user:password@host:port, and who the mail is from.
WEIR_SMTP_URL = env.str("WEIR_SMTP_URL", "")
WEIR_MAIL_FROM = env.str("WEIR_MAIL_FROM", "")
# Requests to addresses that people enter go to public ones only, unless this is set.
WEIR_ALLOW_PRIVATE_ADDRESSES = env.bool("WEIR_ALLOW_PRIVATE_ADDRESSES", False)


def _secret_key() -> str:
    """The configured key, else one made at first use and kept in the data folder (mode 600)."""
    configured = env.str("WEIR_SECRET_KEY", "")
    if configured:
        return configured
    path = WEIR_HOME / "secret_key"
    if path.is_file():
        return path.read_text().strip()
    import os
    import secrets

    key = secrets.token_urlsafe(64)
    try:
        WEIR_HOME.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    except OSError:
        # A folder that can't be written is reported by the supervisor and the checks in one sentence.
        return key
    with os.fdopen(descriptor, "w") as handle:
        handle.write(key)
    return key


SECRET_KEY = _secret_key()

INSTALLED_APPS = [
    "governance.apps.GovernanceConfig",
    "routing.apps.RoutingConfig",
    "attribution.apps.AttributionConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
]

MIDDLEWARE = [
    "governance.dashboards.middleware.RequestIdMiddleware",
    "governance.identity.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "governance.identity.middleware.TeamScopeMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "governance.config.urls"
WSGI_APPLICATION = "governance.config.wsgi.application"
ASGI_APPLICATION = "governance.config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": env.dj_db_url("DATABASE_URL", f"sqlite:///{WEIR_HOME / 'weir.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # IMMEDIATE: with DEFERRED, four writers failed on half of their transactions ("database is locked").
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "governance.User"
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = WEIR_HOME / "static"
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "governance.dashboards.errors.csrf_failed"
# Served over https: cookies never travel in the clear, browsers stay on https.
WEIR_HTTPS = env.bool("WEIR_HTTPS", False)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = WEIR_HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if WEIR_HTTPS else 0
# Only where every request comes through a proxy of ours that sets X-Forwarded-For and -Proto itself: else anybody can
# claim an address or https.
WEIR_BEHIND_PROXY = env.bool("WEIR_BEHIND_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if WEIR_BEHIND_PROXY else None
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # A token first: it decides alone, also beside a session cookie, and its answer to a stranger is 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "governance.identity.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["attribution.api.access.HasScope"],
    "EXCEPTION_HANDLER": "attribution.api.problems.handle",
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Weir",
    "DESCRIPTION": "The cost of LLM inference on several clouds, attributed and reconciled. Amounts are exact decimals "
    "as text; null is unknown, never 0. Errors are application/problem+json with the fix.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "ForecastEventKind": "governance.models.ForecastEvent.Kind",
        "AnomalyState": "governance.models.anomalies.Anomaly.State",
        "DeliveryState": "governance.models.notifications.Delivery.State",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"hide_secrets": {"()": "governance.identity.redaction.HideSecrets"}},
    # Django names the address of every failed request; one kind of address is itself a secret.
    "loggers": {
        name: {"filters": ["hide_secrets"]} for name in ("django.request", "django.security.csrf", "django.server")
    },
}

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", f"redis+socket://{WEIR_HOME / 'run' / 'valkey.sock'}")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 6 * 3600,
    # A task of a killed worker comes back in about 15 s instead of 99 s.
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ROUTES = {
    "routing.*": {"queue": "loop"},
    "governance.tick": {"queue": "loop"},
    # A long fit or attribution must not hold up a message.
    "governance.deliver_notifications": {"queue": "loop"},
    "governance.control_tick": {"queue": "loop"},
}
CELERY_BEAT_SCHEDULE = {
    "judge-anomalies": {
        "task": "governance.judge_anomalies",
        "schedule": 5 * 60,
        "options": {"expires": 240},
    },
    # Each night's fit runs once; asked for often, so that a first one follows soon after the first figures.
    "fit-forecasts": {"task": "governance.fit_forecasts", "schedule": 10 * 60, "options": {"expires": 10 * 60}},
    # A live gateway's minutes are on the pages within about a minute.
    "attribute-pending": {
        "task": "attribution.attribute_pending",
        "schedule": 60 if WEIR_LIVE_DEMO else 15 * 60,
        "options": {"expires": 60 if WEIR_LIVE_DEMO else 15 * 60},
    },
    # Expires: where no worker runs, wake-ups must not pile up.
    "deliver-notifications": {
        "task": "governance.deliver_notifications",
        "schedule": 5,
        "options": {"expires": 10},
    },
    # The loop has a worker of its own, so that a long attribution or fit never keeps a push or a stop waiting.
    "tell-changes": {"task": "governance.tell_changes", "schedule": 5, "options": {"expires": 10}},
    "loop-push": {"task": "routing.push", "schedule": 2, "options": {"expires": 4}},
    "loop-watch": {"task": "routing.watch", "schedule": 10, "options": {"expires": 20}},
    "loop-traffic": {"task": "routing.traffic", "schedule": 5, "options": {"expires": 10}},
    "loop-forget-traffic": {"task": "routing.forget_traffic", "schedule": 24 * 3600},
    "feed-live-telemetry": {
        "task": "governance.feed_live_telemetry",
        "schedule": 20,
        "options": {"expires": 20},
    },
    # The hour's slot runs once; asked for often, so that a tick that failed, or a late start, is made good soon.
    "loop-tick": {"task": "governance.tick", "schedule": 60, "options": {"expires": 60}},
    "loop-look": {"task": "governance.control_tick", "schedule": 10, "options": {"expires": 10}},
    "watch-budgets": {"task": "governance.watch_budgets", "schedule": 60, "options": {"expires": 60}},
    "forget-notifications": {"task": "governance.forget_notifications", "schedule": 24 * 3600},
    "sweep-lake": {"task": "attribution.sweep_lake", "schedule": 24 * 3600},
}
