"""ADQL text → a syntax tree that holds nothing but a query. Source: IVOA ADQL 2.1, section 2.

The grammar is sqlglot's with a small vocabulary: words that ADQL does not know are names, so that
nothing but SELECT can be said. What else sqlglot's grammar lets through, the translator refuses:
it knows only what ADQL has.
"""

from __future__ import annotations

from typing import Any, NoReturn

from sqlglot import Dialect, exp, parser, tokens
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from .adql_values import AdqlError, Place
from .dali import QUERY_MOST

MOST_CHARACTERS = QUERY_MOST
MOST_TOKENS = 50_000
MOST_NESTED = 48
"""Parentheses, CASE and signs within each other."""
CAST = "$cast"
"""Function under which a CAST stands in the tree: its value and the type's name."""

_WORDS = {
    "ALL": TokenType.ALL, "AND": TokenType.AND, "AS": TokenType.ALIAS, "ASC": TokenType.ASC,
    "BETWEEN": TokenType.BETWEEN, "CASE": TokenType.CASE, "CROSS": TokenType.CROSS,
    "DESC": TokenType.DESC, "DISTINCT": TokenType.DISTINCT, "ELSE": TokenType.ELSE,
    "END": TokenType.END, "ESCAPE": TokenType.ESCAPE, "EXCEPT": TokenType.EXCEPT,
    "EXISTS": TokenType.EXISTS, "FROM": TokenType.FROM, "FULL": TokenType.FULL,
    "GROUP BY": TokenType.GROUP_BY, "HAVING": TokenType.HAVING, "ILIKE": TokenType.ILIKE,
    "IN": TokenType.IN, "INNER": TokenType.INNER, "INTERSECT": TokenType.INTERSECT,
    "IS": TokenType.IS, "JOIN": TokenType.JOIN, "LEFT": TokenType.LEFT, "LIKE": TokenType.LIKE,
    "LIMIT": TokenType.LIMIT,
    "NATURAL": TokenType.NATURAL, "NOT": TokenType.NOT, "NULL": TokenType.NULL,
    "OFFSET": TokenType.OFFSET, "ON": TokenType.ON, "OR": TokenType.OR,
    "ORDER BY": TokenType.ORDER_BY, "OUTER": TokenType.OUTER, "RECURSIVE": TokenType.RECURSIVE,
    "RIGHT": TokenType.RIGHT, "SELECT": TokenType.SELECT, "THEN": TokenType.THEN,
    "TOP": TokenType.TOP, "UNION": TokenType.UNION, "USING": TokenType.USING,
    "WHEN": TokenType.WHEN, "WHERE": TokenType.WHERE, "WITH": TokenType.WITH,
    "||": TokenType.DPIPE, ">=": TokenType.GTE, "<=": TokenType.LTE, "<>": TokenType.NEQ,
    "!=": TokenType.NEQ,
}  # fmt: skip
_OPENING = (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN)
_SIGNS = (TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE)
_NEVER = {
    TokenType.L_BRACKET: "", TokenType.L_BRACE: "", TokenType.COLON: "CAST(… AS …) converts",
    TokenType.PLACEHOLDER: "", TokenType.PARAMETER: "", TokenType.HASH: "",
    TokenType.BACKSLASH: "", TokenType.MOD: "MOD(a, b) is the remainder",
    TokenType.LIMIT: "SELECT TOP n … limits",
}  # fmt: skip
"""What ADQL does not have, with what it has instead."""


class _Adql(Dialect):
    NULL_ORDERING = "nulls_are_last"

    class Tokenizer(tokens.Tokenizer):
        COMMENTS = ["--"]  # noqa: RUF012
        KEYWORDS = _WORDS
        HEX_STRINGS = [("0x", ""), ("0X", "")]  # noqa: RUF012

    class Parser(parser.Parser):
        FUNCTIONS = {}  # noqa: RUF012
        FUNCTION_PARSERS = {"CAST": lambda self: self._adql_cast()}  # noqa: RUF012
        NO_PAREN_FUNCTIONS = {}  # noqa: RUF012
        NO_PAREN_FUNCTION_PARSERS = {  # noqa: RUF012
            "CASE": parser.Parser.NO_PAREN_FUNCTION_PARSERS["CASE"],
        }

        def _adql_cast(self) -> exp.Expr:
            value = self._parse_disjunction()
            if not self._match(TokenType.ALIAS):
                self.raise_error("CAST needs AS and a type")
            words = []
            depth = 0
            while self._curr and (depth or not self._match(TokenType.R_PAREN, advance=False)):
                depth += self._curr.text.count("(") - self._curr.text.count(")")
                words.append(self._curr.text)
                self._advance()
            kind = exp.Literal.string(" ".join(words))
            return self.expression(exp.Anonymous(this=CAST, expressions=[value, kind]))

        def _parse_join(self, *args: Any, **kwargs: Any) -> exp.Join | None:
            comma = self._curr is not None and self._curr.token_type == TokenType.COMMA
            found = super()._parse_join(*args, **kwargs)
            if isinstance(found, exp.Join):
                found.meta["comma"] = comma
            return found


def parsed(text: str) -> exp.Expr:
    """The tree of a query. Raises AdqlError for what is no single query, or too long or deep."""
    if len(text) > MOST_CHARACTERS:
        raise AdqlError(f"the query has {len(text)} characters, more than {MOST_CHARACTERS}",
                        code="adql_limits", remedy="upload long lists as a table")  # fmt: skip
    odd = next((i for i, c in enumerate(text) if c < " " and c not in "\t\n\r\f"), None)
    if odd is not None:
        raise AdqlError(f"character {ord(text[odd])} is not allowed", code="adql_syntax",
                        at=_place(text, odd))  # fmt: skip
    dialect = _Adql()
    try:
        found = dialect.tokenize(text)
        found = _one_statement(text, found)
        trees = dialect.parser().parse(found, text)
    except TokenError as error:
        said = str(error).splitlines()[0][:200]
        raise AdqlError(f"the text cannot be read: {said}", code="adql_syntax",
                        remedy="check quotes and comments") from None  # fmt: skip
    except ParseError as error:
        raise _unread(text, error) from None
    except RecursionError:
        raise AdqlError("the query is nested too deeply", code="adql_limits",
                        remedy="write it with fewer parentheses") from None  # fmt: skip
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise AdqlError("there is no query", code="adql_syntax")
    return tree


def _one_statement(text: str, found: list[Token]) -> list[Token]:
    while found and found[-1].token_type == TokenType.SEMICOLON:
        found = found[:-1]
    if not found:
        raise AdqlError("the query is empty", code="adql_syntax", remedy="SELECT …")
    if len(found) > MOST_TOKENS:
        raise AdqlError(f"the query has {len(found)} words, more than {MOST_TOKENS}",
                        code="adql_limits", remedy="upload long lists as a table")  # fmt: skip
    if found[0].token_type not in _OPENING:
        raise AdqlError(f"{found[0].text[:40]!r} is not allowed: only SELECT is",
                        code="adql_not_select", at=_place(text, found[0].start))  # fmt: skip
    last = TokenType.SEMICOLON
    for token in found:
        kind, at = token.token_type, token.start
        if last == TokenType.COMMA and kind in (TokenType.FROM, TokenType.R_PAREN):
            raise AdqlError("nothing stands between a comma and what follows", code="adql_syntax",
                            at=_place(text, at))  # fmt: skip
        last = kind
        if kind == TokenType.SEMICOLON:
            raise AdqlError("only one query at a time", code="adql_not_select",
                            at=_place(text, at))  # fmt: skip
        if kind in _NEVER:
            raise AdqlError(f"{token.text[:20]!r} does not belong to ADQL", code="adql_syntax",
                            remedy=_NEVER[kind], at=_place(text, at))  # fmt: skip
    _not_deep(text, found)
    return found


def _not_deep(text: str, found: list[Token]) -> None:
    brackets, cases, signs = 0, 0, 0
    for token in found:
        kind = token.token_type
        signs = signs + 1 if kind in _SIGNS else 0
        brackets += kind == TokenType.L_PAREN
        cases += kind == TokenType.CASE
        if brackets + cases + signs > MOST_NESTED:
            raise AdqlError("the query is nested too deeply", code="adql_limits",
                            remedy="write it with fewer parentheses",
                            at=_place(text, token.start))  # fmt: skip
        brackets = max(brackets - (kind == TokenType.R_PAREN), 0)
        cases = max(cases - (kind == TokenType.END), 0)


def _unread(text: str, error: ParseError) -> AdqlError:
    first = error.errors[0] if error.errors else {}
    said = str(first.get("description") or str(error)).partition("\n")[0]
    line, end = int(first.get("line") or 0), int(first.get("col") or 0)
    seen = str(first.get("highlight") or "").strip()[:40]
    lines = text.split("\n")
    start = sum(len(p) + 1 for p in lines[: max(line - 1, 0)])
    offset = start + max(end - len(str(first.get("highlight") or "")), 0)
    said = f"the query cannot be understood near {seen!r}: {said}"
    return AdqlError(said[:300], code="adql_syntax",
                     at=_place(text, min(offset, len(text))))  # fmt: skip


def _place(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(offset + 1, before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def place_of(text: str, node: exp.Expr | None) -> Place | None:
    """Position, line and column of the first word of a node, as far as it is known."""
    if node is None:
        return None
    starts = [(n._meta or {}).get("start") for n in node.walk()]
    known = [int(s) for s in starts if s is not None]
    return _place(text, min(known)) if known else None


def not_adql(text: str, node: exp.Expr, what: str) -> NoReturn:
    """Refuse what sqlglot's grammar knows and ADQL does not."""
    raise AdqlError(f"{what} is not part of ADQL", code="adql_not_supported",
                    at=place_of(text, node))  # fmt: skip


def only(text: str, node: exp.Expr, *known: str) -> None:
    """Refuse a node that says more than what `known` names."""
    for name, value in node.args.items():
        if value and name not in known:
            not_adql(text, node, f"{name.strip('_').upper()} in {type(node).__name__.upper()}")
