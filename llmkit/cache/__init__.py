"""The answer cache, as arithmetic and data; nothing here reads a clock, waits, or talks to anybody.

``settings`` is how a cache is set up; ``keys`` turns a call into its key; ``entries`` is an answer as it is kept, and its JSON;
``memory`` the first level; ``store`` the protocol of the second, whose back ends live in :mod:`llmkit.transports`; ``breaker``
switches a broken second level off; ``flights`` lets identical calls share one; ``semantic`` finds answers to similar questions;
``answers`` puts them together.
"""
