"""The options of the configuration: key, type, default and description, read from the types of the settings.

`tracetail config example` and `schema`, docs/configuration.md and the environment variables come from here.
"""

import dataclasses
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from tracetail.cli.config_sources import PREFIX
from tracetail.cli.language import language

REQUIRED = None
"""The default of a key that has none. (TOML has no null, so no option can have it as a value.)"""


@dataclasses.dataclass(frozen=True)
class Option:
    """One key of one table."""

    table: str
    key: str
    type: Any
    default: Any
    english: str
    """What it means."""

    @property
    def description(self) -> str:
        """What it means, in the language."""
        if language() != "zh":
            return self.english
        from tracetail.cli.chinese.settings import TEXTS

        return TEXTS.get(self.english, self.english)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{PREFIX}{self.table}_{self.key}".upper()


def tables(configuration: type) -> dict[str, list[Option]]:
    """Return every option by table, in the order of the fields."""
    return {table: options_of_table(table, struct) for table, struct in get_type_hints(configuration).items()}


def options(configuration: type) -> list[Option]:
    """Return every option, in the order of the fields."""
    return [option for found in tables(configuration).values() for option in found]


def keys_inside(option: Option) -> list[Option]:
    """Return the keys of an option that is a table or a list of tables, such as `[[agent.sources]]`; else nothing."""
    inside = get_args(option.type)[0] if get_origin(option.type) is list else option.type
    if not (isinstance(inside, type) and issubclass(inside, msgspec.Struct)):
        return []
    return options_of_table(f"{option.table}.{option.key}", inside)


def header_of(option: Option) -> str:
    """Return the header in TOML of an option that has keys inside: of one table, or of each table of a list."""
    name = f"[{option.table}.{option.key}]"
    return f"[{name}]" if get_origin(option.type) is list else name


def options_of_table(table: str, struct: Any) -> list[Option]:
    """Return the keys of one table. struct: the msgspec struct that holds them."""
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    found = []
    for key, hint in get_type_hints(struct, include_extras=True).items():
        kind, description = _described(hint)
        found.append(Option(table, key, kind, _default(fields[key]), description))
    return found


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    if isinstance(field.default, msgspec.Struct):
        return {}
    return REQUIRED if field.default is msgspec.NODEFAULT else field.default


def _described(hint: Any) -> tuple[Any, str]:
    if get_origin(hint) is not Annotated:
        return hint, ""
    kind, note = get_args(hint)[:2]
    return kind, note.description or ""
