"""`python -m tracetail`: the same as the `tracetail` command."""

import sys

from tracetail.cli.main import main

sys.exit(main(prog_name="tracetail"))
