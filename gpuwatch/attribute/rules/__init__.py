"""The rules: each says what it knows of the run that a process belongs to, and on what evidence. All are pure."""
