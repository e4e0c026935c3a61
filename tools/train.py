"""`ovss train` as a script, for launchers that start a file."""

from ovss.cli.train import main

if __name__ == "__main__":
    raise SystemExit(main(prog="tools/train.py"))
