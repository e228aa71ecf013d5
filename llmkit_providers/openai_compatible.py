"""Any server that speaks OpenAI's chat completions, at a ``base_url`` of the user's own.

- Nothing is known about the server, so nothing is refused before sending.
- Two kinds of server count tokens, each in its own way, so ``settings={"tokenize": "vllm"}`` or ``"llama.cpp"`` says which it is:
  https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api and
  https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md#post-tokenize-tokenize-a-given-text
- ``max_tokens``, which every such server knows: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llmkit.provider import FEATURES
from llmkit.values.counts import TokenCount
from llmkit.values.instances import Instance
from llmkit.values.other_calls import CountCall
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit.wire.json import parse_object
from llmkit_providers._dialects import counting
from llmkit_providers._dialects.openai_chat import OpenAIChat


class OpenAICompatible(OpenAIChat):
    """A server of the OpenAI dialect."""

    name = "openai_compatible"
    title = "OpenAI-compatible server"
    docs = "https://platform.openai.com/docs/api-reference/chat"
    key_names = ("OPENAI_COMPATIBLE_API_KEY",)
    needs_key = False
    features = frozenset(FEATURES) - {"count_tokens"}
    settings: ClassVar[Mapping[str, str]] = {"tokenize": "Whose tokenize endpoint the server has, for counts: vllm or llama.cpp."}

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """``POST /tokenize``, beside ``/v1``: a whole conversation for vLLM, texts for llama.cpp."""
        kind = instance.settings.get("tokenize")
        if kind == "vllm":
            return counting.vllm_request(self, call, instance)
        if kind == "llama.cpp":
            body = {"content": counting.texts(call), "add_special": True}
            return counting.beside(self, instance, "/tokenize", body)
        raise self.cannot("count_tokens")

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """vLLM's ``count``, or how many ``tokens`` llama.cpp lists."""
        if "count" in parse_object(reply.body):
            return counting.counted(reply, "count", "vLLM's tokenize")
        return counting.counted_texts(reply, "tokens", "llama.cpp's tokenize")
