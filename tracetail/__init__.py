"""tracetail: start LLM inference servers and find every line they print by traceId.

Each package in this directory is a link to the directory of the same name in the project's root, so that everything
is imported as `tracetail.…`. This module is imported by the keeper: it holds the version and nothing else.
"""

__version__ = "0.1.0"
