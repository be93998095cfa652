"""The fleet's way of telling people: what Alertmanager says goes on to the owners of runs, with evidence."""
