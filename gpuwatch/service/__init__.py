"""The systemd service: its unit, putting it on a machine or into an image, and taking it away without a trace."""
