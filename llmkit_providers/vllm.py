"""vLLM, a server of one's own: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html

- The API root ends in ``/v1``, which is added to a ``base_url`` without a path.
- Schemas become grammars, so they go out as they are, without ``strict``:
  https://docs.vllm.ai/en/latest/features/structured_outputs.html
- Thinking comes in ``reasoning``, in older versions in ``reasoning_content``:
  https://docs.vllm.ai/en/latest/features/reasoning_outputs.html
- Error bodies are ``{"error": {"message", "type", "param", "code"}}`` with the status as code, in older versions
  ``{"object": "error", "message", "type", "param", "code"}``; in streams too.
- Tools need ``--enable-auto-tool-choice`` at the server: https://docs.vllm.ai/en/latest/features/tool_calling.html
- ``continue_final_message`` continues an assistant's message at the end:
  https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#chat-api (extra parameters)
- A key is optional (``--api-key`` at the server).
- ``POST /tokenize``, beside ``/v1``, counts a conversation with the model's own template:
  https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
"""

from __future__ import annotations

import attrs

from llmkit.provider import FEATURES
from llmkit.values.calls import ChatCall
from llmkit.values.counts import TokenCount
from llmkit.values.instances import Instance
from llmkit.values.messages import Message
from llmkit.values.other_calls import CountCall
from llmkit.wire.http import HttpReply, HttpRequest
from llmkit_providers._dialects import counting
from llmkit_providers._dialects.openai_chat import OpenAIChat


class VLLM(OpenAIChat):
    """A vLLM server."""

    name = "vllm"
    title = "vLLM"
    base_url = "http://localhost:8000/v1"
    docs = "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
    key_names = ("VLLM_API_KEY", "HOSTED_VLLM_API_KEY")
    base_url_names = ("VLLM_BASE_URL", "VLLM_API_BASE")
    needs_key = False
    features = frozenset(FEATURES) - {"files"}
    bare_path = "/v1"
    strict_schemas = False

    def continued(self, call: ChatCall, instance: Instance, text: str) -> ChatCall:
        """The server continues ``text`` itself."""
        extra = {**(call.options.extra or {}), "continue_final_message": True, "add_generation_prompt": False}
        options = attrs.evolve(call.options, extra=extra)
        return attrs.evolve(call, messages=(*call.messages, Message.assistant(text)), options=options)

    def encode_count(self, call: CountCall, instance: Instance) -> HttpRequest:
        """``POST /tokenize`` of the whole conversation."""
        return counting.vllm_request(self, call, instance)

    def decode_count(self, call: CountCall, reply: HttpReply) -> TokenCount:
        """``count``."""
        return counting.counted(reply, "count", "vLLM's tokenize")
