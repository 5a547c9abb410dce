"""``sentinel sample-config``: every setting with its sentence and its default."""

import argparse

from sentinel import settings

SUMMARY = "print a complete settings file; what is commented out is the default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    del args
    print(settings.sample(), end="")
    return 0
