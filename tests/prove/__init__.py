"""Proofs that take minutes: run by `make prove`, not by `make test`."""
