"""How does a report look as text? Each file renders a finished report, and knows nothing of where it came from."""
