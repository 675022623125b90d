"""The errors of the alarm language: whose fault it is, where, and what to write instead."""

import unicodedata

_CARET_CONTEXT = 60


class AlarmError(ValueError):
    """An alarm cannot be understood; the text is meant for the person who wrote it."""


class TemplateError(AlarmError):
    """A `$(variable)` of a query is unknown, or its value does not fit where it stands."""


class PositionedError(AlarmError):
    """An error at one place of a text.

    `position` is an offset in characters from 0; `line` and `column` count from 1, as editors do; `found` is
    the piece of text there (`end of text` at the end), `expected` what could have stood there, maybe nothing.
    """

    def __init__(self, text: str, position: int, problem: str, found: str = "", expected: tuple[str, ...] = ()) -> None:
        self.text = text
        self.position = min(max(position, 0), len(text))
        self.line = text.count("\n", 0, self.position) + 1
        self.column = self.position - (text.rfind("\n", 0, self.position) + 1) + 1
        self.problem = problem
        self.found = found
        self.expected = expected
        super().__init__(f"line {self.line}, column {self.column}: {problem}")

    def render(self) -> str:
        """The error with the line it is about and a caret under the place; long lines are cut around it."""
        start = self.position - (self.column - 1)
        end = self.text.find("\n", self.position)
        line = self.text[start : len(self.text) if end < 0 else end]
        first = max(0, self.column - 1 - _CARET_CONTEXT)
        shown = line[first : self.column - 1 + _CARET_CONTEXT]
        before, after = "... " if first else "", " ..." if first + len(shown) < len(line) else ""
        visible = "".join(c if c.isprintable() else " " for c in shown)
        left = visible[: self.column - 1 - first]
        caret = " " * (len(before) + sum(map(_width, left))) + "^"
        return f"{self}\n  {before}{visible}{after}\n  {caret}"


def _width(character: str) -> int:
    """How many columns a terminal gives it: two to those of East Asia, none to an accent of its own."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


class ExpressionError(PositionedError):
    """An alarm expression breaks the grammar or a limit of the language."""


class QuerySyntaxError(PositionedError):
    """A query is not valid PromQL, or cannot be used for an alarm."""
