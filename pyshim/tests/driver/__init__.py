"""Tests of the driver's modules: no built command, and no server unless a test says so.

With SQLAlchemy 1.4, which reflex_orm does not run on:
`pytest --confcutdir tests/driver tests/driver/test_internals.py` and others that do not
import the tests' own conftest.
"""
