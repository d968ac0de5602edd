"""What the guest's kernel registers."""
