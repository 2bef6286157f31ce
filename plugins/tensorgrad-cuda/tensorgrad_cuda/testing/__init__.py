"""Tests of the plugin that run on a device: ``pytest --pyargs tensorgrad_cuda.testing``.

What is marked ``gpu`` needs a real one; the rest also runs where NumPy stands in for CuPy (``tests/stand_in`` of the
sources). ``python -m tensorgrad_cuda.report`` runs all of it, and the conformance suite.
"""
