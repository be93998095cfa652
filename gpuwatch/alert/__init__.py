"""Who must be told? The only folder that knows Slack."""
