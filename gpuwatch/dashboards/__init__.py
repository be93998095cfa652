"""Grafana's dashboards: built by its SDK when the project is developed, and packaged as JSON, which needs no SDK."""
