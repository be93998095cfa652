"""Who is that? From a process to the run, the project and the person behind it. The rules are pure."""
