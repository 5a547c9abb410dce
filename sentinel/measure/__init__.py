"""Figures that need more than one room: the whole road, and how well the court judges.  Each module is a benchmark or a part of one."""
