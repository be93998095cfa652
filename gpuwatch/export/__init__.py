"""How does a scraper or a browser read it? Renders the published snapshot; samples nothing."""
