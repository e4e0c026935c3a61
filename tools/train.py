"""`ovss train` as a script, for launchers that start a file."""

from ovss.cli.process import run_as_process
from ovss.cli.train import main

if __name__ == "__main__":
    run_as_process(lambda: main(prog="tools/train.py"))
