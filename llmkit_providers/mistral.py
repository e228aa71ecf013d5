"""Mistral: https://docs.mistral.ai/api/

- ``random_seed`` in place of ``seed``; embeddings take ``output_dimension``: https://docs.mistral.ai/api/
- Streams tell their usage in the last chunk by themselves; there is no ``stream_options``.
- ``tool_choice`` is ``auto``, ``none``, ``any``, ``required`` or a tool: https://docs.mistral.ai/capabilities/function_calling/
- Ids of tool calls must be nine letters or digits (400, code 3280), so other vendors' ids are replaced:
  https://github.com/anomalyco/opencode/issues/1680
- Content may be a list with ``thinking`` chunks, which go back the same way. Magistral models always think; others take
  ``reasoning_effort`` ``none`` or ``high``: https://docs.mistral.ai/studio-api/conversations/reasoning
- Documents are ``document_url``: https://docs.mistral.ai/capabilities/document_ai/document_qna/, sound is base64 or a URL right
  in ``input_audio``: https://docs.mistral.ai/capabilities/audio/
- ``finish_reason`` may be ``model_length`` or ``error``.
- Error bodies: ``{"object": "error", "message", "type", "param", "code"}``, ``{"detail": [...]}``,
  ``{"detail": "..."}``, plain text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from llmkit.errors import InvalidRequestError
from llmkit.values.messages import Audio, File, Image, Reasoning
from llmkit_providers._dialects.media import base64, data_url
from llmkit_providers._dialects.openai_chat import CHAT, IMAGES, OpenAIChat

_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Mistral(OpenAIChat):
    """Mistral's La Plateforme."""

    name = "mistral"
    title = "Mistral"
    base_url = "https://api.mistral.ai/v1"
    docs = "https://docs.mistral.ai/api/"
    key_names = ("MISTRAL_API_KEY",)
    base_url_names = ("MISTRAL_BASE_URL", "MISTRAL_API_BASE")
    features = CHAT | IMAGES | {"embeddings", "dimensions", "audio", "files", "reasoning_effort"}
    seed_name = "random_seed"
    dimensions_name = "output_dimension"
    stream_usage = False
    message_names = False
    result_names = True

    def call_id(self, call_id: str) -> str:
        """The id itself where it is one of Mistral's, else nine characters made from it."""
        return call_id if _ID.fullmatch(call_id) else hashlib.sha256(call_id.encode()).hexdigest()[:9]

    def audio_part(self, audio: Audio) -> dict[str, Any]:
        """A sound clip, in base64 or as a URL."""
        if audio.file_id is not None:
            raise InvalidRequestError("Mistral: sound goes as data or url, not as file_id", provider=self.name)
        return {"type": "input_audio", "input_audio": audio.url if audio.url is not None else base64(audio)}

    def file_part(self, file: File) -> dict[str, Any]:
        """A document: the id of an uploaded one, a URL, or data."""
        if file.file_id is not None:
            return {"type": "file", "file_id": file.file_id}
        part: dict[str, Any] = {"type": "document_url", "document_url": file.url if file.url is not None else data_url(file)}
        if file.name:
            part["document_name"] = file.name
        return part

    def image_part(self, image: Image) -> dict[str, Any]:
        """As everywhere, or the id of an uploaded picture."""
        return {"type": "file", "file_id": image.file_id} if image.file_id is not None else super().image_part(image)

    def send_back(self, thoughts: Sequence[Reasoning], message: dict[str, Any], tools: bool) -> None:
        """Thinking goes back as chunks ahead of the text."""
        chunks: list[dict[str, Any]] = []
        for thought in thoughts:
            if thought.text:
                chunks.append({"type": "thinking", "thinking": [{"type": "text", "text": thought.text}]})
                if thought.signature is not None:
                    chunks[-1]["signature"] = thought.signature
        said = message.get("content")
        text = [{"type": "text", "text": said}] if isinstance(said, str) and said else said or []
        if chunks:
            message["content"] = [*chunks, *text]
