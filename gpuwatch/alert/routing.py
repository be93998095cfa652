"""Where an Alertmanager sends the alerts: a fragment of its configuration, for operators to put into theirs. Pure."""

from __future__ import annotations

from typing import Final

FILE_NAME: Final = "alertmanager.fragment.yml"
REPEAT_HOURS: Final = 1
"""How often what goes on is said again: whoever receives it takes what was not said for longer as over."""

_FRAGMENT: Final = f"""\
# A fragment for the configuration of an Alertmanager (0.22 or newer), by `gpuwatch rules`: its route goes before
# your other routes, its receiver beside your receivers.

route:
  routes:
    # All that is gpuwatch's: to the operator, by the receiver of the route around it. Another one: `receiver:` here.
    - matchers: ['gpuwatch="true"']
      group_by: [alertname, node]
      routes:
        # What the owners of runs are to be told: to `gpuwatch notify`, which knows what was said.
        - matchers: ['alertname=~"GpuwatchRun.+"']
          receiver: gpuwatch-owners
          group_by: [user]
          group_wait: 10s
          group_interval: 1m
          # What notify has not heard for three hours counts as silenced: leave this below.
          repeat_interval: {REPEAT_HOURS}h

receivers:
  - name: gpuwatch-owners
    webhook_configs:
      - url: http://127.0.0.1:9470/alertmanager
        send_resolved: true
        # Where it serves TLS and asks for a password (docs/listener.md):
        # http_config:
        #   basic_auth: {{username: alertmanager, password_file: /etc/alertmanager/gpuwatch.password}}
        #   tls_config: {{ca_file: /etc/alertmanager/gpuwatch.crt}}
"""


def routing_text() -> str:
    """The fragment as YAML."""
    return _FRAGMENT
