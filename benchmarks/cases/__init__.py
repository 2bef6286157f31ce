"""The cases of the table of benchmarks, a file for each family of work.

Each file has a function ``cases(library)`` that gives a dict: for each case's name a function that prepares the case
and returns a `Timed` (or a number, where it is not a time that is measured). A case that a library does not have is
left out of its dict, or raises when it is prepared or first run: the table then says "not there".
"""
