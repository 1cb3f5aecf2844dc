"""The `tracetail` command. Each subcommand imports the part that it is about only when it runs."""
