"""The tests that a device passes, for authors of plugins::

    pytest --pyargs tensorgrad.testing.device_conformance --device NAME

Every operator that is declared is held against the CPU, forward, backward, twice backward and in place, in every
dtype; then come views and copies, memory and errors, streams, random numbers, and all that lies above devices: modules,
optimisers, pickles. ``-m smoke`` picks a part that takes seconds, ``-n 2`` (with pytest-xdist) uses two processes. What
the device says it does not have, by `Backend.supports` or by leaving out what may be left out, is skipped with the
reason.

Nothing here names an operator in a list: samples come from the declarations (`tensorgrad.testing.sampling`).
"""
