"""Every error code that the source can raise, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLASSES = ("UsageError", "DataError", "TransientError", "InternalError")
KINDS = {"ChangedElsewhere": "UsageError"}
"""Classes that are one of `CLASSES` with more to tell."""
_SAYS = ("what", "why", "reason")


@dataclass(frozen=True)
class ErrorCode:
    """One code with a specimen of its message and remedy; … stands for what varies."""

    name: str
    cls: str
    says: str
    remedy: str
    module: str

    @property
    def telling(self) -> int:
        """How much this specimen says, to choose among those of one code."""
        return 2 * bool(self.remedy) + (self.says.strip("…: ") != "")


@dataclass(frozen=True)
class _Raiser:
    """A function that makes an error of the code it is given."""

    cls: str
    parameters: tuple[str, ...]
    default: str | None
    says: ast.expr | None
    remedy: ast.expr | None


def error_codes(source: Path) -> list[ErrorCode]:
    """All codes below a package's folder, each once for a class, by name.

    Raises ValueError where a code cannot be told from the text: make it a constant there.
    """
    trees = {p: ast.parse(p.read_text(), str(p)) for p in sorted(source.rglob("*.py"))}
    defaults = _default_codes(trees[source / "domain" / "errors.py"])
    raisers = {path: dict(_raisers(tree)) for path, tree in trees.items()}
    shared = {n: r for found in raisers.values() for n, r in found.items() if n[0] != "_"}
    out: dict[tuple[str, str], ErrorCode] = {}
    for path, tree in trees.items():
        if path.name == "errors.py" and path.parent.name == "domain":
            continue
        known = shared | raisers[path]
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        for name, cls, says, remedy in _codes(tree, known, defaults, path):
            found = ErrorCode(name, cls, says, "" if remedy == "…" else remedy, module)
            if found.telling > getattr(out.get((name, cls)), "telling", -1):
                out[name, cls] = found
    return [out[key] for key in sorted(out)]


def _default_codes(tree: ast.Module) -> dict[str, str]:
    return {
        cls.name: statement.value.value
        for cls in tree.body if isinstance(cls, ast.ClassDef)
        for statement in cls.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        and getattr(statement.targets[0], "id", "") == "default_code"
    }  # fmt: skip


def _called(node: ast.expr) -> str:
    name = getattr(node, "id", None) or getattr(node, "attr", "")
    return KINDS.get(name, name)


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((k.value for k in call.keywords if k.arg == name), None)


def _raisers(tree: ast.Module) -> Iterator[tuple[str, _Raiser]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        arguments = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or _called(call.func) not in CLASSES:
                continue
            code = _keyword(call, "code")
            if isinstance(code, ast.Name) and code.id in arguments:
                yield function.name, _Raiser(
                    _called(call.func), tuple(a for a in arguments if a not in ("self", "cls")),
                    _default_of(function, code.id), call.args[0], _keyword(call, "remedy"),
                )  # fmt: skip


def _default_of(function: ast.FunctionDef, name: str) -> str | None:
    positional = function.args.args
    pairs = list(zip(positional[::-1], function.args.defaults[::-1], strict=False))
    pairs += list(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))
    for argument, value in pairs:
        if argument.arg == name and isinstance(value, ast.Constant):
            return str(value.value)
    return None


def _codes(
    tree: ast.Module, raisers: dict[str, _Raiser], defaults: dict[str, str], path: Path
) -> Iterator[tuple[str, str, str, str]]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = _called(call.func)
        if name in CLASSES:
            code, says, remedy = _keyword(call, "code"), call.args[0], _keyword(call, "remedy")
            if isinstance(code, ast.Name) and any(r.says is says for r in raisers.values()):
                continue
            for value in [defaults[name]] if code is None else _constants(code, path):
                yield value, name, _text(says, {}), _text(remedy, {})
        elif name in raisers and raisers[name].says not in call.args:
            raiser = raisers[name]
            given = dict(zip(raiser.parameters, call.args, strict=False))
            given |= {k.arg: k.value for k in call.keywords if k.arg}
            values = _constants(given["code"], path) if "code" in given else [raiser.default]
            said = {k: v for k, v in given.items() if k in _SAYS or k == "remedy"}
            for value in values:
                if value is None:
                    raise ValueError(f"{path.name}:{call.lineno}: {name} is given no code")
                yield value, raiser.cls, _text(raiser.says, said), _text(raiser.remedy, said)


def _constants(node: ast.expr, path: Path) -> list[str]:
    if isinstance(node, ast.IfExp):
        return _constants(node.body, path) + _constants(node.orelse, path)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Attribute) and node.attr == "code":
        return []  # an error passed on keeps the code it was raised with
    raise ValueError(f"{path.name}:{node.lineno}: the code is not a constant")


def _text(node: ast.expr | None, given: dict[str, ast.expr]) -> str:
    """A message with … for what varies; names in `given` are replaced by what was passed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name) and node.id in given:
        return _text(given[node.id], {})
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, given) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, given)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, given) + _text(node.right, given)
    if isinstance(node, ast.BoolOp):
        return _text(node.values[-1], given)
    if isinstance(node, ast.IfExp):
        return _text(node.body, given)
    return "" if node is None else "…"
