"""Recipes of the simulated fleet: short ones, so that a task takes at most a minute (step 2)."""

from __future__ import annotations

from typing import Final

RECIPES: Final = {
    "look": """
workflow: look
timeout: 60s
steps:
  - {id: shot, use: screen.capture, timeout: 50s}
""",
    "tap": """
workflow: tap
timeout: 60s
retry: {attempts: 3, backoff: 2s}
steps:
  - {id: press, use: ui.tap, with: {text: OK}, timeout: 40s}
""",
    "walk": """
workflow: walk
timeout: 60s
retry: {attempts: 3, backoff: 1s, jitter: none, on: [device, infrastructure, rate_limit, app, timeout]}
defaults: {retry: {attempts: 2, backoff: 1s}}
steps:
  - {id: boot, use: device.bootstrap, timeout: 20s}
  - {id: cmd, use: device.shell, with: {command: "settings get x"}, idempotent: true, timeout: 30s}
  - {id: tell, use: report, with: {values: {model: "${device.model}"}}}
on_failure:
  - {id: proof, use: screen.capture, timeout: 8s}
always:
  - {id: home, use: ui.key, with: {key: HOME}, timeout: 10s}
""",
    "branch": """
workflow: branch
timeout: 45s
params:
  fast: {type: boolean, default: false}
retry: {attempts: 2, on: [device, infrastructure, unknown]}
steps:
  - {id: pause, use: wait, with: {for: 3s}, if: "!params.fast"}
  - {id: press, use: ui.tap, with: {text: OK}, timeout: 30s, optional: true}
  - {id: send, use: ui.text, with: {text: hello}, timeout: 20s, needs: [pause]}
always:
  - {id: stop, use: app.stop, with: {package: com.example.app}, timeout: 10s, retry: {attempts: 2, backoff: 1s}}
""",
    "picky": """
workflow: picky
timeout: 60s
retry: {attempts: 1}
requires: {sdk: ">=30"}
steps:
  - {id: shot, use: screen.capture, timeout: 40s, expect: "outputs.width >= 0"}
""",
    "broken": """
workflow: broken
timeout: 40s
steps:
  - {id: one, use: device.bootstrap, timeout: 20s}
  - {id: two, use: report, with: {values: {x: "${steps.one.model}"}}}
""",
}
"""``broken`` refers to an output that its simulated step never gives: it fails as a user's mistake."""
