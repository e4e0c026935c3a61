"""`ovss test` as a script, for launchers that start a file."""

from ovss.cli.test import main

if __name__ == "__main__":
    raise SystemExit(main(prog="tools/test.py"))
