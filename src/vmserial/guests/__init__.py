"""Test guests: their packages, images, kernel profiles, and the shell inside."""
