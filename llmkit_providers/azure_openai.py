"""Azure OpenAI: https://learn.microsoft.com/azure/ai-foundry/openai/latest

``model`` is the name of the deployment. Three kinds of ``base_url`` are understood:

- ``https://<resource>.openai.azure.com/openai/v1`` or the bare resource: the v1 API, which needs no version:
  https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
- the bare resource with the setting ``api_version``, or ``.../openai/deployments/<deployment>``: the dated API,
  ``/openai/deployments/<deployment>/chat/completions?api-version=...``:
  https://learn.microsoft.com/azure/ai-foundry/openai/reference
- ``https://<resource>.services.ai.azure.com/models``: Azure AI model inference:
  https://learn.microsoft.com/rest/api/aifoundry/modelinference/

Quirks:

- The key goes into ``api-key``; a Microsoft Entra token (a JWT) goes as ``Authorization: Bearer``.
- The first chunk of a stream has no choices, only ``prompt_filter_results``; chunks with filter results have no ``delta``:
  https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter
- A refused prompt is 400 with code ``content_filter`` and ``innererror.code`` ``ResponsibleAIPolicyViolation``.
- ``max_completion_tokens`` in place of ``max_tokens``: https://learn.microsoft.com/azure/ai-foundry/openai/how-to/reasoning
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from llmkit.values.instances import Instance
from llmkit.values.options import Options
from llmkit.values.secret import Secret
from llmkit.wire.http import HttpRequest
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat

DATED_VERSION = "2024-10-21"
"""The last dated API version that is not a preview; used where a deployment's URL comes without one."""
INFERENCE_VERSION = "2024-05-01-preview"
"""The version of Azure AI model inference."""


class AzureOpenAI(OpenAIChat):
    """OpenAI's models at Microsoft Azure."""

    name = "azure_openai"
    title = "Azure OpenAI"
    docs = "https://learn.microsoft.com/azure/ai-foundry/openai/latest"
    key_names = ("AZURE_OPENAI_API_KEY", "AZURE_API_KEY")
    base_url_names = ("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE")
    endpoints = ("/chat/completions", "/embeddings", "/openai/models")
    features = CHAT | IMAGES | {"embeddings", "dimensions", "reasoning_effort", "audio", "files"}
    settings: ClassVar[Mapping[str, str]] = {
        "api_version": "The dated API version, such as 2024-10-21; leave it out for the v1 API."
    }
    max_tokens_name = "max_completion_tokens"
    refusal_field = True

    def url(self, instance: Instance, path: str) -> str:
        """The URL of an endpoint, in the form that the ``base_url`` and the settings ask for."""
        root = self.root(instance)
        version = instance.settings.get("api_version") or _version(instance.base_url or "")
        if root.endswith("/v1"):
            return root + path + _query(version)
        if root.endswith("/models"):
            return root.removesuffix("/models") + "/models" + path + _query(version or INFERENCE_VERSION)
        resource, deployments, deployment = root.partition("/openai/deployments")
        resource = resource.removesuffix("/openai")
        if not deployments and not version:
            return f"{resource}/openai/v1{path}"
        dated = _query(version or DATED_VERSION)
        if path == "/models":
            return f"{resource}/openai{path}{dated}"
        return f"{resource}/openai/deployments/{deployment.strip('/') or quote(instance.model, safe='')}{path}{dated}"

    def parameters(self, options: Options, instance: Instance) -> dict[str, Any]:
        """As the base; Azure AI model inference knows ``max_tokens`` only."""
        fields = super().parameters(options, instance)
        if self.max_tokens_name in fields and self.root(instance).endswith("/models"):
            fields["max_tokens"] = fields.pop(self.max_tokens_name)
        return fields

    def authorize(self, request: HttpRequest, key: Secret) -> HttpRequest:
        """The key in ``api-key``, or a Microsoft Entra token as bearer."""
        if key.reveal().startswith("eyJ") and key.reveal().count(".") == 2:
            return super().authorize(request, key)
        return request.with_headers({"api-key": key.reveal()})


def _version(base_url: str) -> str:
    """The ``api-version`` in a full endpoint URL."""
    return parse_qs(urlsplit(base_url).query).get("api-version", [""])[0]


def _query(version: Any) -> str:
    return f"?api-version={quote(str(version), safe='')}" if version else ""
