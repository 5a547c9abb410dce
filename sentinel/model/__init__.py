"""The vocabulary: frozen values that the rooms exchange.  Nothing here reads a clock, a socket, a disk or chance.

Columns (``columns``, ``observation``) carry thousands of rows as one numpy array per field; a row type (``Command``, ``Detection``,
``Finding``, ``Verdict``, ``Action``) exists only for what somebody will look at.
"""
