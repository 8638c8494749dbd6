"""Test vectors of the wire (SPEC 10): `make` writes them, the tests hold code and files together."""
