"""What a function may raise, read off its code and that of what it calls: errors of the service and the catalogue.

As far as can be known: calls are followed by the names and the types that the code declares. Every error that is made
counts as raised, unless an `except` around it keeps it.
"""

from __future__ import annotations

import ast
import inspect
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException

from models.model import CatalogError
from service.errors import InvalidRequest, ServiceError
from service.objects import Objects
from service.objects_local import LocalObjects
from service.objects_s3 import S3Objects

OURS = ("service", "models.catalog", "models.limits", "models.pictures")
IMPLEMENTED_BY = {Objects: (LocalObjects, S3Objects)}


class Raised(NamedTuple):
    """An error and its code; of an HTTPException its status."""

    kind: type[BaseException]
    code: str | int


class An(NamedTuple):
    """Some instance of a class, of which no more is known."""

    kind: type


def raised_by(function: Any) -> set[Raised]:
    """All that a function, a method or the constructor of a class may raise."""
    return _Reader().of(function)


class _Reader:
    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def of(self, function: Any) -> set[Raised]:
        if inspect.isclass(function):
            function = function.__init__
        function = inspect.unwrap(getattr(function, "__func__", function))
        if function in self._seen or not inspect.isfunction(function) or not _is_ours(function):
            return set()
        self._seen.add(function)
        tree = _text_of(function)
        names = dict(_known(function))
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                names |= _assigned(node, names)
        return self._in(tree, names)

    def _in(self, node: ast.AST, names: dict[str, Any]) -> set[Raised]:
        if isinstance(node, ast.Try):
            kept = tuple(kind for handler in node.handlers for kind in _kept(handler, names))
            body = set().union(*(self._in(part, names) for part in node.body))
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            return {one for one in body if not issubclass(one.kind, kept)}.union(*(self._in(p, names) for p in rest))
        found = set().union(*(self._in(child, names) for child in ast.iter_child_nodes(node)))
        return found | self._called(node, names) if isinstance(node, ast.Call) else found

    def _called(self, call: ast.Call, names: dict[str, Any]) -> set[Raised]:
        found: set[Raised] = set()
        for target in _values(call.func, names):
            if inspect.isclass(target) and issubclass(target, ServiceError | CatalogError | HTTPException):
                found |= {Raised(target, code) for code in _codes(target, call, names)}
            else:
                found |= self.of(type(target.kind).__call__ if isinstance(target, An) else target)
        return found


def _is_ours(function: Any) -> bool:
    """Written by us: what the standard library makes of a dataclass has no text."""
    return function.__module__.startswith(OURS) and not function.__code__.co_filename.startswith("<")


def _text_of(function: Any) -> ast.AST:
    """Found by its line: the inspect module does not find where a lambda ends."""
    line = function.__code__.co_firstlineno
    return next(node for node in _functions(function.__code__.co_filename) if line == _first_line(node))


@cache
def _functions(path: str) -> list[ast.AST]:
    tree = ast.parse(Path(path).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]


def _first_line(node: Any) -> int:
    return min(part.lineno for part in (node, *getattr(node, "decorator_list", ())))


def _known(function: Any) -> Iterator[tuple[str, Any]]:
    """The names that a function can use, with what they are."""
    yield from function.__globals__.items()
    for name, kind in typing.get_type_hints(function).items():
        if inspect.isclass(kind):
            yield name, An(kind)
    owner: Any = inspect.getmodule(function)
    for part in function.__qualname__.split(".")[:-1]:
        owner = getattr(owner, part, None)
    if inspect.isclass(owner):
        yield "self", An(owner)


def _assigned(node: ast.Assign, names: dict[str, Any]) -> dict[str, Any]:
    """What simple assignments say: `a = …`, `a, b = …, …`."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs += zip(target.elts, node.value.elts, strict=False)
        else:
            pairs.append((target, node.value))
    told = {target.id: value for target, value in pairs if isinstance(target, ast.Name)}
    values = {name: next(_values(value, names), value) for name, value in told.items()}
    return {name: value for name, value in values.items() if value is not None}


def _values(node: ast.expr, names: dict[str, Any]) -> Iterator[Any]:
    """What an expression may be: objects of our modules, or an instance of a class."""
    if isinstance(node, ast.Name) and node.id in names:
        yield names[node.id]
    elif isinstance(node, ast.Subscript):
        for table in _values(node.value, names):
            yield from table.values() if isinstance(table, dict) else ()
    elif isinstance(node, ast.Call):
        for target in _values(node.func, names):
            if inspect.isclass(target):
                yield An(target)
    elif isinstance(node, ast.Attribute):
        for owner in _values(node.value, names):
            if inspect.ismodule(owner) or inspect.isclass(owner):
                yield getattr(owner, node.attr, None)
            elif isinstance(owner, An):
                yield from _members(owner.kind, node.attr)


def _members(kind: type, name: str) -> Iterator[Any]:
    for implementation in IMPLEMENTED_BY.get(kind, (kind,)):
        hint = typing.get_type_hints(implementation).get(name)
        if inspect.isclass(hint):
            yield An(hint)
        elif (member := getattr(implementation, name, None)) is not None:
            yield member
        else:
            yield from _set_at_the_start(implementation, name)


def _set_at_the_start(kind: type, name: str) -> Iterator[Any]:
    """An attribute that the constructor gives its instances."""
    function = inspect.unwrap(kind.__init__)
    if not inspect.isfunction(function) or not _is_ours(function):
        return
    names = dict(_known(function))
    for node in ast.walk(_text_of(function)):
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
            pairs = zip(target.elts, node.value.elts, strict=True) if several else [(target, node.value)]
            for place, value in pairs:
                if isinstance(place, ast.Attribute) and place.attr == name:
                    yield from _values(value, names)


def _kept(handler: ast.ExceptHandler, names: dict[str, Any]) -> Iterator[type[BaseException]]:
    """What an `except` keeps: nothing where it raises the same again."""
    if handler.type is None or any(isinstance(node, ast.Raise) and not node.exc for node in ast.walk(handler)):
        return
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    for kind in kinds:
        yield from (value for value in _values(kind, names) if inspect.isclass(value))


def _codes(kind: type[Any], call: ast.Call, names: dict[str, Any]) -> set[Any]:
    """The codes that an error is made with; none where it is given one that came from elsewhere."""
    place = {InvalidRequest: 2, CatalogError: 0, HTTPException: 0}.get(kind)
    if place is None or len(call.args) <= place:
        return {kind.code}
    return set(_constants(call.args[place], names))


def _constants(node: Any, names: dict[str, Any]) -> Iterator[Any]:
    if isinstance(node, ast.Name):
        node = names.get(node.id)
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body, names)
        yield from _constants(node.orelse, names)
    elif isinstance(node, ast.Constant):
        yield node.value
