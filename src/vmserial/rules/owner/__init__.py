"""What PVE and libvirt make of their own configurations."""
