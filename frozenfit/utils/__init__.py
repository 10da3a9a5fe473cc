"""Helpers that every subpackage may use and that import no other part of the package."""
