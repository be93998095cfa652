"""What does it add up to? From a record of the past, of one node's state or a Prometheus server, to people's eyes."""
