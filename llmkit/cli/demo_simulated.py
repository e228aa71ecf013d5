"""The demo on the built-in simulator: real HTTP to this machine, answers written beforehand."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from llmkit.cli import demo_steps as show
from llmkit.cli.output import console, line
from llmkit.client import Client
from llmkit.simulated import Question
from llmkit.simulator import Simulator

WORDS_A_SECOND = 45.0
CONFIGURATION = """\
[settings]
strategy = "lru"                  # the instance that has waited longest is next
retries = 2                       # two more tries, on another key or instance where there is one

[[tasks]]
name = "chat"

[[tasks]]
name = "summary"
max_tokens = 60
temperature = 0.3

[[tasks]]
name = "translate"
temperature = 0

[[instances]]
name = "gpt"
provider = "openai"
model = "gpt-4o-mini"
api_keys = ["demo-openai-1", "demo-openai-2"]
tasks = ["chat", "translate"]
base_url = "{openai}"

[[instances]]
name = "claude"
provider = "anthropic"
model = "claude-haiku-4-5"
api_key = "demo-anthropic"
tasks = ["chat", "summary"]
base_url = "{anthropic}"

[[instances]]
name = "gemini"
provider = "google"
model = "gemini-2.5-flash-lite"
api_key = "demo-google"
tasks = ["summary", "translate"]
base_url = "{google}"

[[instances]]
name = "llama"
provider = "ollama"
model = "llama3.2"                # a local server: no key
tasks = ["chat"]
base_url = "{ollama}"

[[instances]]
name = "vectors"
provider = "openai"
model = "text-embedding-3-small"
api_key = "demo-openai-3"
base_url = "{openai}"
"""
PROMPTS = (
    ("chat", "Why is the sky blue?", "Air scatters blue light more than red, so blue reaches you from every side."),
    ("summary", "Summarise: the meeting was moved to Friday.", "The meeting is on Friday now."),
    ("translate", "Good morning, in Welsh?", "Bore da."),
    ("chat", "How many legs has a spider?", "Eight."),
    ("summary", "Summarise: rain all week, sun on Sunday.", "Wet until Sunday."),
    ("translate", "Thank you, in Basque?", "Eskerrik asko."),
    ("chat", "Name a prime above 100.", "101."),
)
STORY = (
    "Tell me a story about a router.",
    "Once there was a small router that knew four vendors. Every question that came, it sent to the one that had waited "
    "longest. One day a vendor fell silent; the router did not shout. It wrote down what had happened, asked the next one, and "
    "the people in front of the screen only saw an answer.",
)
FAILING = ("Summarise: one vendor is down, another one works.", "The call was answered by the vendor that works.")
LIMITED = ("Are you there?", "Yes, on the other key.")
_ANSWERS = dict([(prompt, answer) for _, prompt, answer in PROMPTS] + [STORY, FAILING, LIMITED])


def script(question: Question) -> str:
    """What the simulated models say."""
    return _ANSWERS.get(question.text, question.text)


def show_simulated() -> None:
    """Run the demo; it writes a configuration into a temporary folder and nothing anywhere else."""
    with Simulator(script=script, token_rate=WORDS_A_SECOND) as simulator, TemporaryDirectory(prefix="llmkit-demo-") as folder:
        names = ("openai", "anthropic", "google", "ollama")
        text = CONFIGURATION.format(**{name: simulator.base_url(name) for name in names})
        path = Path(folder, "demo.toml")
        path.write_text(text, encoding="utf-8")
        console().print("[bold]llmkit demo[/]: four vendors, five keys, three tasks", highlight=False)
        line(
            f"Every answer below comes from llmkit's simulator at {simulator.url}, over real HTTP in each vendor's own format. "
            "No vendor is called, nothing costs anything."
        )
        show.heading(1, "A configuration file")
        show.toml(text)
        with Client.from_config(path) as client:
            _steps(client, simulator)
    line()
    line("That was the simulator. With OPENAI_API_KEY, ANTHROPIC_API_KEY or another vendor's key set, call the real ones:", "bold")
    line("  llmkit demo --live")
    line('  llmkit generate -m openai/gpt-4o-mini "Why is the sky blue?"')


def _steps(client: Client, simulator: Simulator) -> None:
    show.heading(2, "Prompts go to the instances that serve their task")
    for task, prompt, _ in PROMPTS:
        show.said(task, prompt, client.generate(prompt, task=task))

    show.heading(3, "A stream, printed as it arrives")
    show.stream(client, STORY[0], task="chat")

    show.heading(4, "A vendor fails, the next one answers")
    down = next(instance for instance in client.instances if instance.provider == "anthropic")
    simulator.fail("overloaded", vendor="anthropic")
    line("From now on the simulated Anthropic answers every call with: overloaded.")
    answer = client.generate(FAILING[0], task="summary")
    if len(answer.attempts) == 1:  # it was the other instance's turn
        answer = client.generate(FAILING[0], task="summary")
    show.said("summary", FAILING[0], answer)
    show.attempts(answer)
    line(f"{down.name} failed, {answer.instance} answered; the caller saw one answer and no error.", "bold")

    show.heading(5, "A key is rate limited, the next key takes over")
    simulator.fail("429;retry-after=30", vendor="openai", model="gpt-4o-mini", times=1)
    answer = client.generate(LIMITED[0], model="openai/gpt-4o-mini")
    show.said("chat", LIMITED[0], answer)
    show.attempts(answer)

    show.heading(6, "Embeddings")
    found = client.embed(["a cat", "a kitten", "a tax form"], instance="vectors", dimensions=8)
    line(f"3 texts became {len(found.vectors)} vectors of {len(found.vectors[0])} numbers each, from {found.model}.")

    show.heading(7, "What was used")
    show.books(client)
