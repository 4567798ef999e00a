"""The command ``mlgate``: one module a subcommand, ``main.py`` strings them together."""
