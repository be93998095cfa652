"""A report as one HTML file, with charts, that asks nothing of anybody. The only folder that knows jinja2."""
