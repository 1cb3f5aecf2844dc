"""The launcher's commands: `tracetail start`, `stop`, `restart`, `status`, `apply`, `ps`, `gc` and others."""
