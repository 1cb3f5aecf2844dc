"""The files that the panel serves: what the pages load, and what the browser code and the server agree on."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.panel_browser import opened

from tracetail.panel import server
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


@pytest.mark.parametrize("page", ["panel.html", "embed.html"])
def test_a_page_names_every_module_that_it_loads_so_that_a_browser_fetches_them_at_once(page):
    text = (STATIC / page).read_text(encoding="utf-8")
    script = re.search(r'<script type="module" src="/static/([^"]+)"', text)[1]
    assert set(re.findall(r'modulepreload" href="/static/([^"]+)"', text)) == imported(STATIC / script)


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
