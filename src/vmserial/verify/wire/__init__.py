"""The bytes that prove a port: made, sent, received, held against what was sent."""
