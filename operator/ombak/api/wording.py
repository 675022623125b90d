"""Sentences from pieces that others wrote (an API server, Prometheus, a person), who end them as they like."""


def clause(text: str) -> str:
    """Return a text as it stands inside a sentence, after a colon or before a semicolon: without an end of its own."""
    return text.strip().rstrip(".;:, \t\n")


def sentence(text: str) -> str:
    """Return a text as a sentence: with exactly one end; what is empty stays empty."""
    bare = clause(text)
    return bare if not bare or bare[-1] in "!?" else f"{bare}."
