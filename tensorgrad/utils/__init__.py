"""Helpers that are built on automatic differentiation."""

from tensorgrad.utils import checkpoint

__all__ = ["checkpoint"]
