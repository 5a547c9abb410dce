"""Octets that nobody chose but the coverage of the code: ``python -m tests.fuzz --minutes 10`` over every parser."""
