"""From the text of an alarm expression to its syntax tree, in one pass, with errors that point."""

import dataclasses
import functools
import re
from typing import Any, NoReturn

import lark

from ombak.alarms import syntax
from ombak.alarms.errors import ExpressionError
from ombak.alarms.syntax import And, AtLeast, Constant, Expression, Is, Not, Or, Ref
from ombak.api.health import State

_END = "end of text"
_OPERATORS = frozenset({"AND", "OR", "NOT"})
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s(),"]+|.', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SHOWN = 40
_ESCAPE = re.compile(r'\\(["\\])')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_READABLE = {
    "OPEN": "'('",
    "_CLOSE": "')'",
    "_COMMA": "','",
    "COUNT": "a number such as 2",
    "PERCENT": "a percentage such as 50%",
    "QUOTED": "the name of an alarm",
    "NAME": "the name of an alarm",
    "$END": _END,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Parsed:
    """An expression that keeps the rules of the language, and what a reader could misunderstand in it."""

    expression: Expression
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Node:
    """A piece of the expression while it is put together: how deep and how large it is."""

    expression: Expression
    depth: int = 0
    elements: int = 0
    grouped: bool = False
    mixed: bool = False


class _Problem(Exception):  # noqa: N818 - becomes an ExpressionError as soon as the text is at hand
    """A rule of the language beyond its grammar is broken at this offset."""

    def __init__(self, token: lark.Token, problem: str) -> None:
        super().__init__(problem)
        self.position = token.start_pos or 0


def parse(text: str) -> Parsed:
    """The expression that `text` says; raises ExpressionError and nothing else.

    Takes time linear in the length of the text, which may be at most 10,240 characters.
    """
    if len(text) > syntax.MAX_LENGTH:
        problem = f"an expression has at most {syntax.MAX_LENGTH} characters, this one has {len(text)}"
        raise ExpressionError(text, syntax.MAX_LENGTH, problem)
    try:
        node = _parser().parse(text)
    except lark.UnexpectedInput as error:
        _explain(text, error)
    except _Problem as problem:
        raise ExpressionError(text, problem.position, str(problem), _piece(text, problem.position)) from None
    assert isinstance(node, _Node)
    _check_size(text, node)
    return Parsed(node.expression, (_MIXED,) if node.mixed else ())


_MIXED = (
    "AND and OR are mixed without parentheses; AND binds stronger here, AWS does not say which does: "
    "write the parentheses that you mean"
)


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark.open_from_package(
        "ombak.alarms", "grammar.lark", parser="lalr", lexer="contextual", transformer=_Builder()
    )


def _check_size(text: str, node: _Node) -> None:
    if node.elements > syntax.MAX_ELEMENTS:
        problem = (
            f"an expression has at most {syntax.MAX_ELEMENTS} elements (alarms, TRUE, FALSE, parentheses), "
            f"this one has {node.elements}; name parts of it as alarms of their own"
        )
        raise ExpressionError(text, 0, problem)
    children = len(syntax.references(node.expression))
    if children > syntax.MAX_CHILDREN:
        problem = (
            f"an expression names at most {syntax.MAX_CHILDREN} alarms, this one names {children}; "
            "name parts of it as alarms of their own"
        )
        raise ExpressionError(text, 0, problem)


def _explain(text: str, error: lark.UnexpectedInput) -> NoReturn:
    position = error.pos_in_stream
    at_end = position is None or (isinstance(error, lark.UnexpectedToken) and error.token.type == "$END")
    if position is None or at_end:  # after the last word: a block of YAML ends with a line of nothing
        position = len(text.rstrip()) or len(text)
    found = _END if at_end else _piece(text, position)
    expected = _expected(error)
    shown = found if at_end else f"'{found}'"
    wanted = expected[0] if len(expected) == 1 else f"one of: {', '.join(expected)}"
    problem = f"found {shown}, expected {wanted}"
    if found.startswith('"') and _QUOTED.match(text, position) is None:
        problem = "this quotation mark is never closed"
    elif "ALARM" in expected and not at_end and found.strip('"')[:1].isalnum() and found.upper() not in _OPERATORS:
        problem += f"; of an Alarm say whether it is on: ALARM({found})"
    raise ExpressionError(text, position, problem, found, expected) from None


def _expected(error: lark.UnexpectedInput) -> tuple[str, ...]:
    """What the parser could have taken here, in words, each once, in a fixed order."""
    names: set[str] = error.interactive_parser.accepts()  # type: ignore[no-untyped-call]  # lark has no types here
    return tuple(sorted({_READABLE.get(name, name.lstrip("_")) for name in names}))


def _piece(text: str, position: int) -> str:
    match = _PIECE.match(text, position)
    piece = match.group() if match else _END
    return piece if len(piece) <= _SHOWN else piece[:_SHOWN] + "..."


def _parse_reference(token: lark.Token, name: str) -> Ref:
    """The reference that the text between the quotation marks means."""
    if not name or len(name) > syntax.MAX_NAME_LENGTH:
        raise _Problem(token, f"the name of an alarm has 1 to {syntax.MAX_NAME_LENGTH} characters")
    if _CONTROL.search(name):
        raise _Problem(token, "the name of an alarm has no control characters (tabs, line ends)")
    if name.startswith("arn:"):
        return Ref(name)
    parts = name.split("/")
    if len(parts) > 3 or not all(parts):
        raise _Problem(token, "an alarm is named as name, namespace/name or region/namespace/name")
    region, namespace, last = [None] * (3 - len(parts)) + parts
    assert last is not None
    return Ref(last, namespace, region)


@lark.v_args(inline=True)
class _Builder(lark.Transformer[Any, Any]):
    """Builds the tree while the text is read, so that nothing ever walks over a tree of unchecked depth."""

    def start(self, node: _Node) -> _Node:
        return node

    def any_of(self, *nodes: _Node) -> _Node:
        ambiguous = any(isinstance(node.expression, And) and not node.grouped for node in nodes)
        return _join(Or(tuple(node.expression for node in nodes)), nodes, ambiguous)

    def all_of(self, *nodes: _Node) -> _Node:
        return _join(And(tuple(node.expression for node in nodes)), nodes, ambiguous=False)

    def negation(self, token: lark.Token, node: _Node) -> _Node:
        depth = _deeper(token, node)
        return dataclasses.replace(node, expression=Not(node.expression), depth=depth, grouped=False)

    def group(self, token: lark.Token, node: _Node) -> _Node:
        return dataclasses.replace(node, depth=_deeper(token, node), elements=node.elements + 1, grouped=True)

    def true(self, _token: lark.Token) -> _Node:
        return _Node(Constant(True), elements=1)

    def false(self, _token: lark.Token) -> _Node:
        return _Node(Constant(False), elements=1)

    def predicate(self, state: State, _open: lark.Token, ref: tuple[lark.Token, Ref]) -> _Node:
        return _Node(Is(state, ref[1]), elements=1)

    def at_least(self, *parts: Any) -> _Node:
        _keyword, _open, (token, amount, percent), (negated, state), _list, *named = parts
        _check_amount(token, amount, percent, len(named))
        refs: dict[Ref, None] = {}
        for at, ref in named:
            if ref in refs:
                raise _Problem(at, f"{ref} is in the list twice; name each alarm once")
            refs[ref] = None
        return _Node(AtLeast(amount, percent, negated, state, tuple(refs)), elements=len(refs))

    def count(self, token: lark.Token) -> tuple[lark.Token, int, bool]:
        return token, int(token), False

    def percent(self, token: lark.Token) -> tuple[lark.Token, int, bool]:
        return token, int(token[:-1]), True

    def in_state(self, state: State) -> tuple[bool, State]:
        return False, state

    def not_in_state(self, _not: lark.Token, state: State) -> tuple[bool, State]:
        return True, state

    def state(self, token: lark.Token) -> State:
        return State[token.type]

    def quoted(self, token: lark.Token) -> tuple[lark.Token, Ref]:
        return token, _parse_reference(token, _ESCAPE.sub(r"\1", token[1:-1]))

    def unquoted(self, token: lark.Token) -> tuple[lark.Token, Ref]:
        return token, _parse_reference(token, str(token))


def _join(expression: Expression, nodes: tuple[_Node, ...], ambiguous: bool) -> _Node:
    return _Node(
        expression,
        depth=max(node.depth for node in nodes),
        elements=sum(node.elements for node in nodes),
        mixed=ambiguous or any(node.mixed for node in nodes),
    )


def _deeper(token: lark.Token, node: _Node) -> int:
    if node.depth >= syntax.MAX_DEPTH:
        raise _Problem(token, f"parentheses and NOTs go at most {syntax.MAX_DEPTH} deep")
    return node.depth + 1


def _check_amount(token: lark.Token, amount: int, percent: bool, listed: int) -> None:
    most = 100 if percent else listed
    if not 1 <= amount <= most:
        kind = "a percentage is from 1% to 100%" if percent else f"a count is from 1 to {listed}, the alarms listed"
        raise _Problem(token, kind)
