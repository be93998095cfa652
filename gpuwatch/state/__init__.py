"""What must survive? The one SQLite file: running totals, the minute's charges, and the roll-up of old ones."""
