"""Proof on a booted guest: what is sent, what arrives, and what is said about it."""
