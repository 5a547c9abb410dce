"""Plan: one file, one type of problem, one planner.  Problems in, `Plan`s out: decisions, objective, bound, gap, and the commands that the
decisions would need, which the court judges like any other.  Pure: files are read and pictures written by the command line.
"""
