"""Denoisers: exact ones, networks, and the files in which trained ones are kept."""
