"""The tables of docs/api.md are the code's own lists: calls, fields, errors with their statuses, why a video fails."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from service import errors
from service.api.app import create_app
from service.api.deps import needed_scope
from service.api.schemas import CreateVideo
from service.errors import InvalidRequest, LimitReached, ServiceError
from service.settings import Settings
from service.videos import Video

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "api.md").read_text()

NEVER_TOLD = {errors.StaleFence, errors.DeliveryRefused}  # between workers; in the words of other errors
ONLY_OF_VIDEOS = {errors.ProvenanceFailed}
OF_THE_FRAMEWORK = {("method_not_allowed", 405, False), ("unsupported_media_type", 415, False)}
#: What a worker hands on as it came: errors of the service and of the catalogue.
HANDED_ON = {
    *(errors.ImageLost, errors.StorageUnavailable, errors.StorageFull),
    *(errors.PolicyRefused, errors.PolicyUnavailable),
}


def section(title: str) -> str:
    """Without those below it."""
    found = re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    assert found, title
    return found[1]


def first_cells(text: str) -> str:
    return "\n".join(re.findall(r"^\| ([^|]+) \|", text, re.M))


def kinds(kind: type[ServiceError] = ServiceError) -> Iterator[type[ServiceError]]:
    """Every error that has a code or a status of its own."""
    if {"code", "status"} & vars(kind).keys() and kind is not LimitReached and kind.__module__ == errors.__name__:
        yield kind
    for child in kind.__subclasses__():
        yield from kinds(child)


def exact_codes(*sources: str) -> set[str]:
    """The codes that `InvalidRequest` and `CatalogError` are raised with in these files."""
    found: set[str] = set()
    for source in sources:
        for path in ROOT.glob(source):
            tree = ast.parse(path.read_text())
            named = {
                target.id: node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    place = {"InvalidRequest": 2, "CatalogError": 0}.get(node.func.id)
                    if place is not None and len(node.args) > place:
                        code = node.args[place]
                        found |= words(named.get(code.id) if isinstance(code, ast.Name) else code)
    return found


def words(node: ast.expr | None) -> set[str]:
    """What an expression may be: its constants, but not those of a condition."""
    if isinstance(node, ast.IfExp):
        return words(node.body) | words(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


#: Of the file of added models, with which a process does not start.
AT_START = {"unreadable_models", "name_taken"}


def answered() -> set[tuple[str, int, bool]]:
    """Code, status and whether trying again may help, of everything that a client may be answered."""
    classes = set(kinds()) - NEVER_TOLD - ONLY_OF_VIDEOS
    exact = exact_codes("service/**/*.py", "models/catalog.py", "models/limits.py", "models/pictures.py") - AT_START
    of_requests = {(code, InvalidRequest.status, InvalidRequest.retryable) for code in exact}
    return {(kind.code, kind.status, kind.retryable) for kind in classes} | of_requests | OF_THE_FRAMEWORK


def test_the_table_of_errors_is_the_codes_own_list():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (yes)? ?\|", section("Errors"), re.M)
    assert len(rows) == len(set(rows)) > 40
    assert {(code, int(status), again == "yes") for code, status, again in rows} == answered()


def test_the_errors_of_each_call_are_in_the_table():
    told = {(code, status) for code, status, _ in answered()}
    for paragraph in re.findall(r"^Errors: (.*?)\n\n", PAGE, re.M | re.S):
        status = 0
        for number, code in re.findall(r"\b([45]\d\d)\b|`([a-z_]+)`", paragraph):
            status = int(number or status)
            assert not code or (code, status) in told, paragraph


def test_the_table_of_failures_is_the_codes_own_list():
    render = ast.parse((ROOT / "workers" / "render.py").read_text())
    blame = next(node for node in render.body if isinstance(node, ast.FunctionDef) and node.name == "blame")
    told = {
        word.value
        for node in ast.walk(blame)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple)
        for word in node.value.elts[:1]
        if isinstance(word, ast.Constant)
    }
    scripts = "\n".join(path.read_text() for path in (ROOT / "service" / "lua").glob("*.lua"))
    told |= set(re.findall(r"settle\(id, 'failed', event_id, now, '(\w+)'", scripts))
    told |= exact_codes("models/recipe.py") | {kind.code for kind in HANDED_ON | ONLY_OF_VIDEOS}
    told |= {"out_of_memory", "unknown_model"}  # a name in `blame`; a catalogue that changed since the order
    assert set(re.findall(r"^\| `(\w+)` \|", section("Why a video fails"), re.M)) == told


def test_every_call_is_told_with_the_scope_that_it_needs(settings: Settings):
    rows = re.findall(r"^\| `(\w+) (/\S+)` \| .+ \| ([^|]+) \|$", section("All calls"), re.M)
    told = {(method, path): scope.partition(",")[0].strip("`") for method, path, scope in rows}
    for path, calls in create_app(settings).openapi()["paths"].items():
        for method, call in calls.items():
            scope = needed_scope(call["tags"], method.upper()) or "any key"
            wanted = scope if "security" in call else "no key"
            assert told.get((method.upper(), re.sub(r"\{\w+\}", "{id}", path))) == wanted, path


def test_every_field_is_in_a_table():
    ordered = set(re.findall(r"`(\w+)`", first_cells(section("Order a video"))))
    assert ordered == CreateVideo.model_fields.keys()
    shown = set(re.findall(r"`(\w+)`", first_cells(section("Look at a video"))))
    assert shown == Video.model_fields.keys()


def test_every_link_leads_somewhere():
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = link.partition("#")
        if link.startswith("#"):
            assert anchor in anchors, link
        elif not link.startswith("https:"):
            page = (ROOT / "docs" / path).read_text().lower()
            assert not anchor or f"\n## {anchor.replace('-', ' ')}\n" in page, link
