"""Azure OpenAI's quirks: https://learn.microsoft.com/azure/ai-foundry/openai/reference and
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle"""

from __future__ import annotations

from typing import Any

import pytest

from llmkit.errors import ConfigError, ContentFilterError, ModelNotFoundError
from llmkit.values.instances import Instance
from llmkit.values.other_calls import ModelsCall
from llmkit.values.secret import Secret
from llmkit_providers.azure_openai import AzureOpenAI
from tests.support.openai_wire import DEADLINE, chat, embed, reply, sent

VENDOR = AzureOpenAI()
RESOURCE = "https://res.openai.azure.com"


def instance(base_url: str, **settings: Any) -> Instance:
    return Instance("azure_openai", "my gpt/4", base_url=base_url, settings=settings)


DATED = f"{RESOURCE}/openai/deployments/my%20gpt%2F4"


@pytest.mark.parametrize(
    ("base_url", "settings", "root", "query"),
    [
        (RESOURCE, {}, f"{RESOURCE}/openai/v1", ""),
        (f"{RESOURCE}/openai/", {}, f"{RESOURCE}/openai/v1", ""),
        (f"{RESOURCE}/openai/v1/", {}, f"{RESOURCE}/openai/v1", ""),
        (f"{RESOURCE}/openai/v1", {"api_version": "preview"}, f"{RESOURCE}/openai/v1", "?api-version=preview"),
        (RESOURCE, {"api_version": "2024-10-21"}, DATED, "?api-version=2024-10-21"),
        (f"{RESOURCE}/openai", {"api_version": "2024-10-21"}, DATED, "?api-version=2024-10-21"),
        (f"{RESOURCE}/openai/deployments", {"api_version": "a&b"}, DATED, "?api-version=a%26b"),
        (f"{RESOURCE}/openai/deployments/own", {}, f"{RESOURCE}/openai/deployments/own", "?api-version=2024-10-21"),
        (
            f"{RESOURCE}/openai/deployments/own/chat/completions?api-version=2025-01-01-preview",
            {},
            f"{RESOURCE}/openai/deployments/own",
            "?api-version=2025-01-01-preview",
        ),
        (
            "https://r.services.ai.azure.com/models",
            {},
            "https://r.services.ai.azure.com/models",
            "?api-version=2024-05-01-preview",
        ),
    ],
)
def test_every_form_of_base_url(base_url: str, settings: dict[str, Any], root: str, query: str):
    found = instance(base_url, **settings)
    assert VENDOR.encode(chat(), found).url == f"{root}/chat/completions{query}"
    assert VENDOR.encode(embed(), found).url == f"{root}/embeddings{query}"


def test_model_lists_stand_beside_the_deployments():
    call = ModelsCall(deadline=DEADLINE)
    assert VENDOR.encode(call, instance(RESOURCE)).url == f"{RESOURCE}/openai/v1/models"
    dated = VENDOR.encode(call, instance(RESOURCE, api_version="2024-10-21"))
    assert dated.url == f"{RESOURCE}/openai/models?api-version=2024-10-21"


def test_every_user_has_their_own_address():
    with pytest.raises(ConfigError, match="base_url"):
        VENDOR.encode(chat(), Instance("azure_openai", "gpt"))


def test_a_key_and_a_token_go_into_different_headers():
    request = VENDOR.encode(chat(), instance(RESOURCE))
    assert VENDOR.authorize(request, Secret("0123abcd")).headers["api-key"] == "0123abcd"
    token = VENDOR.authorize(request, Secret("eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl")).headers
    assert token["Authorization"] == "Bearer eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"
    assert "api-key" not in token


def test_the_name_of_the_token_limit():
    assert sent(chat(max_tokens=5), VENDOR, instance(RESOURCE))["max_completion_tokens"] == 5
    inference = instance("https://r.services.ai.azure.com/models")
    assert sent(chat(max_tokens=5), VENDOR, inference)["max_tokens"] == 5


def test_a_refused_prompt():
    """https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter"""
    error = {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
    assert type(VENDOR.error(reply({"error": error}, 400))) is ContentFilterError


def test_an_unknown_deployment():
    error = {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}
    found = VENDOR.error(reply({"error": error}, 404, **{"apim-request-id": "r1", "retry-after-ms": "1500"}))
    assert type(found) is ModelNotFoundError
    assert (found.request_id, found.retry_after, found.vendor_code) == ("r1", 1.5, "DeploymentNotFound")
