"""Which models count alike, and by what: data and one look-up.

OpenAI's rules for messages (three tokens around each, its role, one for a name, three before the answer) stand in its cookbook,
https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken. What the cookbook does not say, and every number of another
vendor, is fitted to token counts that vendors reported; ``docs/how-to/count-tokens.md`` shows how well, and
``scripts/token_errors.py`` measures it again.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from llmkit.values.base import Value


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Family(Value):
    """Models that count alike. All numbers are tokens."""

    name: str
    encoding: str = "o200k_base"
    exact: bool = False
    """Whether the encoding and the rules for text messages are the vendor's own."""
    factor: float = 1.0
    """The vendor's tokens for each of the encoding's."""
    base: int = 3
    """For the prompt as a whole."""
    message: int = 4
    """Around each message, its role included."""
    system: int | None = None
    """Around a system message; None for as much as around any."""
    answer: int = 0
    """More around each message of the model's."""
    call: int = 3
    """Around a tool call, and around its result."""
    parallel: int = 14
    """For the wrapper around several tool calls in one message."""
    tools: int = 9
    """For the first tool; OpenAI's count as the TypeScript that the model is shown, others' as JSON."""
    tool_factor: float = 1.0
    shape: int | None = None
    """Beside the JSON schema of the answer; None where the schema steers the model but is not shown to it."""
    tekken: bool = False
    """Whether texts are counted by ``mistral-common`` where it is installed."""
    images: str = "tiles 85 170"
    """How pictures count, in the words of ``llmkit.tokens.images``."""


def _openai(name: str, encoding: str, images: str = "tiles 85 170") -> Family:
    return Family(name=name, encoding=encoding, exact=True, shape=4, images=images)


def _reasoning(name: str, images: str, tools: int = 94) -> Family:
    """Reasoning models: one token less before the answer, two for the channel of each message of the model's."""
    return Family(name=name, exact=True, base=2, answer=2, tools=tools, shape=4, images=images)


OPENAI = _openai("OpenAI", "o200k_base")
OPENAI_CL100K = _openai("OpenAI", "cl100k_base")
CLAUDE = Family(
    name="Claude", factor=1.15, base=3, system=0, call=20, tools=490, tool_factor=1.15, shape=120, images="claude 1568 1568"
)
MISTRAL = Family(
    name="Mistral", factor=1.12, base=1, message=2, answer=-1, tools=6, call=8, tekken=True, images="grid 28 1540"
)
"""Control tokens as in https://docs.mistral.ai/cookbook/concept-deep-dive-tokenization-templates; mistral-small adds instructions
of its own."""
GEMINI = Family(name="Gemini", factor=1.08, base=0, message=0, call=8, tools=10, tool_factor=0.7, images="gemini")
UNKNOWN = Family(name="models not known", factor=1.1, tools=100, shape=0)
"""For models of no known family: no tokenizer in use is much better than this one at text, so a tenth is added."""

TABLE: tuple[tuple[str, Family], ...] = (
    # ------------------------------------------------ OpenAI, https://github.com/openai/tiktoken/blob/main/tiktoken/model.py
    (r"gpt-oss", Family(name="gpt-oss", base=63, message=4, answer=2, tools=5)),
    (r"gpt-4o-mini", _openai("OpenAI", "o200k_base", "tiles 2833 5667")),
    (r"gpt-4\.1-mini", _openai("OpenAI", "o200k_base", "patches 1.62")),
    (r"gpt-4\.1-nano", _openai("OpenAI", "o200k_base", "patches 2.46")),
    (r"gpt-4o(?!.*(?:search|audio|realtime))|chatgpt-4o|gpt-4\.[15]", OPENAI),
    (r"gpt-4o", Family(name="OpenAI's search and audio models", images="tiles 85 170")),
    (r"gpt-5.*chat|gpt-[6-9]", Family(name="OpenAI's, not measured", shape=4)),
    (r"gpt-5[.\d]*-mini", _reasoning("OpenAI reasoning", "patches 1.62")),
    (r"gpt-5[.\d]*-nano", _reasoning("OpenAI reasoning", "patches 2.46")),
    (r"gpt-5", _reasoning("OpenAI reasoning", "tiles 70 140")),
    (r"^o1-(?:mini|preview)", Family(name="OpenAI o1-mini", message=9, images="tiles 75 150")),
    (r"^o4-mini", _reasoning("OpenAI reasoning", "patches 1.72", tools=14)),
    (r"^(?:ft:)?o[1-9](?:-|$)|codex-mini", _reasoning("OpenAI reasoning", "tiles 75 150", tools=14)),
    (r"gpt-4|gpt-3\.?5", OPENAI_CL100K),
    (r"text-embedding|^(?:ft:)?(?:davinci|babbage)-002", OPENAI_CL100K),
    (r"text-davinci-00[23]|code-davinci|code-cushman|davinci-codex|cushman-codex", _openai("OpenAI", "p50k_base")),
    (r"^(?:text-)?(?:davinci|curie|babbage|ada)(?:-001)?$|text-(?:similarity|search)|code-search", _openai("OpenAI", "r50k_base")),
    (r"^gpt-?2$", _openai("OpenAI", "gpt2")),
    # ------------------------------------------------ others: fitted
    (r"claude.*(?:opus-4[-.](?:[7-9]|\d\d)(?!\d)|(?:opus|sonnet|haiku|fable|mythos)-[5-9])",
        attrs.evolve(CLAUDE, factor=1.4, tools=620, images="claude 2576 4784")),
    (r"claude-?(?:instant|[12](?!\d)|v2)|claude-3", attrs.evolve(CLAUDE, tools=310)),
    (r"claude-(?:sonnet|opus)-4(?:-[01])?(?:[-@](?:\d{8}|latest)|$)", attrs.evolve(CLAUDE, tools=310)),
    (r"claude", CLAUDE),
    (r"gemini-(?:[3-9]|flash|pro|omni|nano)", attrs.evolve(GEMINI, images="gemini3")),
    (r"gemini", GEMINI),
    (r"gemma", Family(name="Gemma", factor=1.05, base=4, message=5, tools=50, images="gemini")),
    (r"mistral-small|magistral-small", attrs.evolve(MISTRAL, base=14)),
    (r"mistral-(?:7b|tiny|medium-2312)|mixtral|codestral-(?:22b|2405)|mathstral", attrs.evolve(MISTRAL, tekken=False)),
    (r"mistral|ministral|voxtral|magistral|codestral|devstral|pixtral|nemo", MISTRAL),
    (r"deepseek-r1-distill", Family(name="DeepSeek distilled", base=2, message=1, tools=100)),
    (r"deepseek", Family(name="DeepSeek", factor=1.05, base=3, message=1, tools=230, call=20)),
    (r"command-a-(?:plus|vision)", Family(name="Cohere", base=4, message=4, tools=120, call=30, images="tiles 0 256")),
    (r"command.*reasoning", Family(name="Cohere", base=1380, message=6, tools=90, call=30)),
    (r"command-r-08|command-r-plus-08", Family(name="Cohere", base=192, message=5, tools=900, call=30)),
    (r"command-r$|command-r-plus$|command$|command-light|command-nightly", Family(name="Cohere", base=60, message=4, tools=750)),
    (r"command|c4ai|aya", Family(name="Cohere", base=490, message=5, tools=930, call=30)),
    (r"llama-?4", Family(name="Llama", base=4, message=5, tools=620, call=20)),
    (r"llama-?3(?:[.-]|:)?[123](?!\d)", Family(name="Llama", base=30, message=5, tools=150, call=20)),
    (r"llama", Family(name="Llama", base=4, message=5, tools=130, call=20)),
    (r"qwen-?2", Family(name="Qwen", base=25, message=5, tools=100)),
    (r"qwen|qwq", Family(name="Qwen", base=4, message=5, tools=90, call=10)),
    (r"grok", Family(name="Grok", base=3, message=4, tools=200, call=20, shape=40)),
    (r"sonar", Family(name="Perplexity", base=0, message=0, tools=0)),
    (r"nova", Family(name="Amazon Nova", base=0, message=0, tools=300)),
    (r"kimi|glm|minimax|phi|granite", Family(name="other open models", factor=1.05, base=4, message=4, tools=30)),
)  # fmt: skip
"""How models are named, and their family; the first that fits counts. Names are compared in lower case, without what stands before
the last ``/``."""

_PATTERNS = tuple([(re.compile(pattern), family) for pattern, family in TABLE])


@lru_cache(maxsize=1000)
def family(model: str) -> Family:
    """The family of a model, ``provider/model`` or bare."""
    name = model.rpartition("/")[2].lower()
    return next((found for pattern, found in _PATTERNS if pattern.search(name)), UNKNOWN)
