"""The files that the panel serves: what the pages load, and what the browser code and the server agree on."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from support.panel_browser import opened
from yarl import URL

from tracetail.panel import server
from tracetail.panel.pages.joined_modules import JoinError, join
from tracetail.panel.pages.static_files import StaticFiles
from tracetail.panel.routes.schemas import SCHEMAS

STATIC = Path(server.__file__).parent / "static"
COMPONENT = STATIC / "component"
IMPORT = re.compile(r'^(?:import|export)\b[^;"]*"(\.[^"]+)"', re.MULTILINE)
PROPERTY = re.compile(r"@property \{(.+?)\} (\[?)(\w+)", re.MULTILINE)
JAVASCRIPT_TYPES = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "object": "object",
}


def imported(path):
    """Return all modules that a module imports, directly or not, relative to the static files."""
    found, waiting = set(), [path.resolve()]
    while waiting:
        module = waiting.pop()
        for name in IMPORT.findall(module.read_text(encoding="utf-8")):
            target = (module.parent / name).resolve()
            if target not in found:
                found.add(target)
                waiting.append(target)
    return {module.relative_to(STATIC.resolve()).as_posix() for module in found}


@pytest.mark.parametrize("page", ["/panel", "/embed"])
@pytest.mark.needs("chromium")
async def test_a_page_is_there_after_few_requests(panel, browser, page):
    # each costs milliseconds, over a distance many
    async with opened(browser, f"{panel.url}{page}") as loaded:
        names = await loaded.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert len([name for name in names if name.endswith(".js")]) == 2


async def test_what_a_browser_has_is_not_sent_again(panel):
    url = f"{panel.url}/tracetail-panel.js"
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as first:
            assert first.headers["Content-Encoding"] == "gzip"
            assert first.headers["Content-Type"] == "text/javascript; charset=utf-8"
            text = await first.text()
        async with session.get(url, headers={"If-None-Match": first.headers["ETag"]}) as again:
            assert (again.status, await again.read()) == (304, b"")
        async with session.get(url, headers={"Accept-Encoding": "identity"}) as plain:
            assert "Content-Encoding" not in plain.headers
            assert await plain.text() == text


@pytest.mark.parametrize(
    "path", ["../server.py", "%2e%2e/server.py", "component", "component/none.js", "//etc/passwd"]
)
async def test_nothing_else_is_served(panel, path):
    address = URL(f"{panel.url}/static/{path}", encoded=True)
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        assert answer.status == 404


def test_a_changed_module_is_answered_at_once(tmp_path):
    (tmp_path / "part.js").write_text("export const name = 'before';\n")
    (tmp_path / "page.js").write_text('import { name } from "./part.js";\nconsole.log(name);\n')
    files = StaticFiles(tmp_path)
    request = make_mocked_request("GET", "/page.js")
    assert b"before" in files.answer(request, "page.js").body
    (tmp_path / "part.js").write_text("export const name = 'and after';\n")
    assert b"and after" in files.answer(request, "page.js").body


@pytest.mark.parametrize(
    "statement",
    ["import * as all from './b.js';", "export default 1;", "export let count = 0;", "export const { a } = {};"],
)
def test_a_module_that_cannot_be_joined_is_an_error(tmp_path, statement):
    (tmp_path / "part.js").write_text(statement + "\n")
    (tmp_path / "page.js").write_text('import { name } from "./part.js";\n')
    with pytest.raises(JoinError, match=r"part\.js"):
        join(tmp_path / "page.js")


def test_every_module_is_loaded():
    modules = {path.relative_to(STATIC).as_posix() for path in COMPONENT.rglob("*.js")}
    assert modules - imported(STATIC / "page.js") == {"component/types.js"}


def test_modules_import_downwards_only():
    below = {"log": {"log"}, "api": {"api"}, "parts": {"parts", "log", "vendor"}}
    for folder, allowed in below.items():
        for path in (COMPONENT / folder).glob("*.js"):
            for name in IMPORT.findall(path.read_text(encoding="utf-8")):
                target = (path.parent / name).resolve().relative_to(STATIC.resolve())
                assert target.parts[0] == "vendor" or target.parts[1] in allowed, f"{path} imports {name}"


def test_modules_import_each_other_in_no_cycle():
    graph = {
        path.resolve(): {(path.parent / name).resolve() for name in IMPORT.findall(path.read_text(encoding="utf-8"))}
        for path in COMPONENT.rglob("*.js")
    }
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_nothing_is_fetched_from_elsewhere_and_no_text_becomes_html():
    for path in [*STATIC.glob("*.js"), *COMPONENT.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"""from\s+["'](?!\.)""", text), path


def test_every_module_says_what_it_is():
    for path in [*STATIC.glob("*.js"), *COMPONENT.rglob("*.js")]:
        assert path.read_text(encoding="utf-8").startswith("// "), path


def typedefs():
    """Return the fields of the typedefs of objects by name: {field: (type, optional)}."""
    text = (COMPONENT / "types.js").read_text(encoding="utf-8")
    found = {}
    for comment in re.findall(r"/\*\*.*?\*/", text, re.DOTALL):
        if name := re.search(r"@typedef \{object\} (\w+)", comment):
            fields = PROPERTY.findall(comment)
            found[name[1]] = {field: (kind, bool(bracket)) for kind, bracket, field in fields}
    return found


def javascript_type(schema):
    """Return the JSDoc type of values that the schema describes."""
    if "$ref" in schema:
        kind = schema["$ref"].rpartition("/")[2]
    elif schema["type"] == "array":
        kind = javascript_type(schema["items"]) + "[]"
    elif "additionalProperties" in schema:
        value = javascript_type(schema["additionalProperties"])
        kind = "Counts" if value == "number" else f"Record<string, {value}>"
    elif schema.get("properties") == SCHEMAS["Line"]["properties"]:
        kind = "Line"
    else:
        kind = JAVASCRIPT_TYPES[schema["type"]]
    return kind + " | null" if schema.get("nullable") else kind


@pytest.mark.parametrize("name", sorted(SCHEMAS.keys() - {"Error"}))
def test_the_typedefs_of_answers_have_the_fields_of_the_description_of_the_api(name):
    required = SCHEMAS[name]["required"]
    assert typedefs()[name] == {
        field: (javascript_type(schema), field not in required)
        for field, schema in SCHEMAS[name]["properties"].items()
    }


KEYS = """async () => {
  const { KEYS } = await import('/static/component/keyboard.js');
  const { messagesFor } = await import('/static/component/messages.js');
  const listed = (locale) => messagesFor(locale).keys.flatMap(([keys]) => keys.split(' '));
  return { keys: Object.keys(KEYS), english: listed('en'), chinese: listed('zh') };
}"""


@pytest.mark.needs("chromium")
async def test_the_page_of_keys_lists_every_key_that_has_an_action(panel, browser):
    names = {"↓": "ArrowDown", "↑": "ArrowUp", "PgDn": "PageDown", "PgUp": "PageUp", "Esc": "Escape", "Space": " "}
    async with opened(browser, f"{panel.url}/panel?traceId=none") as page:
        found = await page.evaluate(KEYS)
    assert sorted(names.get(key, key) for key in found["english"]) == sorted(found["keys"])
    assert found["chinese"] == found["english"]
