"""One model has one slug, in every dialect that bills and telemetry use."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attribution.recognition.models import ModelName, normalize_model

DIALECTS = {
    ("claude-sonnet-4.5", "anthropic"): [
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5@20250929",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock/us-east-1/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "vertex_ai/claude-sonnet-4-5@20250929",
        "azure_ai/claude-sonnet-4-5",
        "Claude4.5Sonnet",
        "Claude Sonnet 4.5",
        "Claude Sonnet 4.5 (Amazon Bedrock Edition)",
    ],
    ("claude-haiku-4.5", "anthropic"): [
        "claude-haiku-4-5-20251001",
        "Claude4.5Haiku",
        "anthropic.claude-haiku-4-5@20251001",
    ],
    ("claude-opus-4", "anthropic"): ["claude-opus-4-20250514", "claude-opus-4-0", "Claude4Opus"],
    ("claude-opus-4.8", "anthropic"): ["anthropic.claude-opus-4-8", "claude-opus-4-8@default"],
    ("claude-3.5-sonnet", "anthropic"): [
        "claude-3-5-sonnet-20241022",
        "anthropic.claude-3-5-sonnet-20241022-v2:0",
        "Claude3-5Sonnet",
    ],
    ("claude-3-sonnet", "anthropic"): ["Claude3Sonnet", "claude-3-sonnet@20240229"],
    ("claude-2.1", "anthropic"): ["anthropic.claude-v2:1", "claude-2.1"],
    ("gpt-5", "openai"): ["gpt-5", "gpt-5-2025-08-07", "GPT 5", "azure/eu/gpt-5-2025-08-07"],
    ("gpt-5-mini", "openai"): ["gpt-5-mini-2025-08-07", "GPT 5 Mini"],
    ("gpt-4.1", "openai"): ["gpt-4.1-2025-04-14", "gpt 4.1", "openai/gpt-4.1"],
    ("gpt-4.1-nano", "openai"): ["gpt-4.1-nano-2025-04-14", "gpt 4.1 nano"],
    ("gpt-4o", "openai"): ["gpt-4o", "gpt-4o-2024-11-20", "gpt 4o 1120", "gpt4o"],
    ("gpt-4o-mini", "openai"): ["gpt-4o-mini-2024-07-18", "gpt-4o-mini-0718"],
    ("gpt-4o-ft", "openai"): ["ft:gpt-4o-2024-08-06:acme::A1b2c3"],
    ("gpt-3.5-turbo", "openai"): ["gpt-35-turbo", "gpt-3.5-turbo-0125"],
    ("gpt-4-turbo", "openai"): ["gpt-4-1106-preview", "gpt-4-turbo-2024-04-09"],
    ("o4-mini", "openai"): ["o4-mini-2025-04-16", "o4-mini 0416"],
    ("gpt-oss-120b", "openai"): ["openai.gpt-oss-120b-1:0", "gpt-oss-120B"],
    ("text-embedding-3-large", "openai"): [
        "text-embedding-3-large",
        "azure/text-embedding-3-large",
        "embedding-3-large",
    ],
    ("text-embedding-ada-002", "openai"): ["text-embedding-ada-002-v2", "ada"],
    ("gemini-2.5-pro", "google"): [
        "gemini-2.5-pro",
        "publishers/google/models/gemini-2.5-pro",
        "Gemini 2.5 Pro",
        "models/gemini-2.5-pro",
    ],
    ("gemini-2.5-flash", "google"): ["gemini-2.5-flash", "Gemini 2.5 Flash GA", "gemini-2.5-flash-preview-09-2025"],
    ("gemini-2.5-flash-lite", "google"): ["gemini-2.5-flash-lite", "gemini 2.5 flash lite"],
    ("gemini-2.0-flash", "google"): ["gemini-2.0-flash-001", "Gemini 2.0 Flash"],
    ("gemini-3-pro", "google"): ["gemini-3-pro-preview", "Gemini 3.0 Pro"],
    ("gemini-embedding-001", "google"): ["gemini-embedding-001", "google/gemini-embedding-001"],
    ("llama-3.3-70b", "meta"): [
        "meta.llama3-3-70b-instruct-v1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "meta-llama/Llama-3.3-70B-Instruct",
        "vertex_ai/meta/llama-3.3-70b-instruct-maas",
        "Llama3-3-70B",
        "Llama 3.3 70B",
    ],
    ("llama-4-maverick", "meta"): ["Llama4-Maverick-17B", "meta.llama4-maverick-17b-instruct-v1:0"],
    ("nova-pro", "amazon"): ["amazon.nova-pro-v1:0", "NovaPro", "Nova Pro"],
    ("nova-2-lite", "amazon"): ["Nova2.0Lite", "global.amazon.nova-2-lite-v1:0", "Nova 2.0 Lite"],
    ("titan-embed-text-v2", "amazon"): ["amazon.titan-embed-text-v2:0", "TitanEmbeddingV2-Text"],
    ("mistral-large", "mistral"): [
        "mistral.mistral-large-2402-v1:0",
        "MistralLarge",
        "mistral-large@2411-001",
        "Mistral Large",
    ],
    ("mistral-medium-3.5", "mistral"): ["mistral-medium-3-5", "mistral-medium-3.5"],
    ("mixtral-8x7b", "mistral"): ["mistral.mixtral-8x7b-instruct-v0:1"],
    ("deepseek-v3.2", "deepseek"): ["deepseek.v3.2", "us.deepseek.v3.2", "DeepSeek-V3.2"],
    ("deepseek-r1", "deepseek"): ["deepseek.r1-v1:0", "DeepSeek-R1"],
    ("grok-4.1", "xai"): ["Grok 4.1", "grok-4-1"],
    ("grok-4.3", "xai"): ["xai.grok-4.3", "grok-4.3-latest"],
    ("qwen3-vl-235b-a22b", "alibaba"): ["Qwen3-VL-235B-A22B", "qwen.qwen3-vl-235b-a22b"],
    ("command-r-plus", "cohere"): ["cohere.command-r-plus-v1:0", "command-r-plus-08-2024"],
    ("rerank-v3.5", "cohere"): ["Cohere Rerank v3.5 (Amazon Bedrock Edition)", "cohere.rerank-v3-5:0"],
    ("phi-4", "microsoft"): ["Phi-4", "azure_ai/Phi-4"],
    ("kimi-k2.5", "moonshot"): ["moonshotai.kimi-k2.5", "FW-Kimi-K2.5"],
    ("glm-5", "zai"): ["zai.glm-5", "FW-GLM-5"],
    ("jamba-1.5-large", "ai21"): ["ai21.jamba-1-5-large-v1:0", "Jamba 1.5 Large (Amazon Bedrock Edition)"],
    ("palmyra-x5", "writer"): ["us.writer.palmyra-x5-v1:0", "Palmyra X5 (Amazon Bedrock Edition)"],
    ("nemotron-nano-9b-v2", "nvidia"): ["nvidia.nemotron-nano-9b-v2"],
    ("minimax-m2.1", "minimax"): ["minimax.minimax-m2.1", "MiniMax-M2.1"],
    ("marengo-embed-3", "twelvelabs"): [
        "twelvelabs.marengo-embed-3-0-v1:0",
        "TwelveLabs Marengo Embed 3.0 (Amazon Bedrock Edition)",
    ],
    ("stable-diffusion-xl", "stability"): ["stability.stable-diffusion-xl-v1"],
}


@pytest.mark.parametrize(
    ("slug", "publisher", "name"),
    [(slug, publisher, name) for (slug, publisher), names in DIALECTS.items() for name in names],
)
def test_every_dialect_of_a_model_gives_its_slug(slug: str, publisher: str, name: str) -> None:
    assert normalize_model(name) == ModelName(slug, publisher)


def test_models_that_differ_in_price_stay_apart() -> None:
    slugs = [slug for slug, _ in DIALECTS]
    assert len(slugs) == len(set(slugs))
    names = [
        "gpt-5",
        "gpt-5-mini",
        "gpt-5-nano",
        "gpt-5-pro",
        "gpt-5-codex",
        "gpt-5-chat",
        "gpt-5.1",
        "gpt-5.1-codex-mini",
    ]
    assert [found.slug for name in names if (found := normalize_model(name))] == names


def test_azure_meters_leave_the_family_name_out() -> None:
    assert normalize_model("5.4 mini", "azure") == ModelName("gpt-5.4-mini", "openai")
    assert normalize_model("5.6 sol", "azure") == ModelName("gpt-5.6-sol", "openai")
    assert normalize_model("5.4 mini") == ModelName("5.4-mini", None)


def test_a_model_outside_the_catalogue_still_meets_its_bill() -> None:
    wanted = ModelName("zephyr-9-large", None)
    for name in (
        "zephyr-9-large",
        "Zephyr 9 Large",
        "eu.zephyr-9-large",
        "zephyr-9-large-20260101",
        "hub/zephyr-9-large-latest",
    ):
        assert normalize_model(name) == wanted


def test_an_opaque_profile_keeps_its_identity() -> None:
    name = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1y2z3"
    assert normalize_model(name) == ModelName("application-inference-profile-x1y2z3", None)


def test_only_an_empty_text_has_no_model() -> None:
    assert normalize_model("") is None
    assert normalize_model("  \t") is None


def test_other_scripts_and_control_characters_still_make_a_slug() -> None:
    assert normalize_model("日本語モデル") == ModelName("日本語モデル", None)
    assert normalize_model("\x00\x01") == ModelName("unnamed", None)


_NAMES = st.text(alphabet=string.ascii_letters + string.digits + "-._/:@ ", min_size=1, max_size=40)


@given(_NAMES)
def test_a_slug_is_its_own_slug(name: str) -> None:
    found = normalize_model(name)
    if found is not None:
        again = normalize_model(found.slug)
        assert again is not None
        assert again.slug == found.slug


@pytest.mark.parametrize("slug", [slug for slug, _ in DIALECTS])
def test_catalogue_slugs_are_stable(slug: str) -> None:
    found = normalize_model(slug)
    assert found is not None
    assert found.slug == slug


@pytest.mark.parametrize("word", ["-preview", "gpt-", "-image", "1-", "a.", "/x", "Aa"])
def test_a_name_that_is_none_takes_no_time(word: str) -> None:
    """A megabyte of one word would keep patterns busy for hours; only the end of a name is looked at."""
    found = normalize_model("gemini-2.5-flash" + word * 100_000)
    assert found is None or len(found.slug) <= 200
