"""What the binary, the board and the machine type have."""
