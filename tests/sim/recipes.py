"""Recipes of the simulated fleet: a task takes at most a minute, most of it watching (step 2)."""

from __future__ import annotations

from typing import Final

FILE: Final = "tools/probe"
SECRET: Final = "password"
NEEDS_PLUGIN: Final = "plugged"
PLUGGED: Final = """
workflow: plugged
timeout: 60s
retry: {attempts: 2, backoff: 1s}
steps:
  - {id: sweep, use: acme.sweep, with: {account: kim}, timeout: 40s}
  - {id: shot, use: screen.capture, timeout: 10s, optional: true}
"""
NEEDS_WHAT_IS_NOT_THERE: Final = {
    "secretive": """
workflow: secretive
timeout: 60s
steps:
  - {id: type, use: ui.text, with: {text: "${secret.nothing}"}, sensitive: true, timeout: 20s}
""",
    "heavy": """
workflow: heavy
timeout: 60s
steps:
  - {id: one, use: file.push, with: {file: tools/none, path: /data/local/tmp/one}, timeout: 10s}
  - {id: two, use: file.push, with: {file: tools/nowhere, path: /data/local/tmp/two}, timeout: 10s}
""",
}
"""They are stored, and no run of them can be made."""
RECIPES: Final = {
    "playback": """
workflow: playback
timeout: 60s
params:
  seconds: {type: integer, default: 50}
retry: {attempts: 2, backoff: 1s, on: [device, infrastructure]}
steps:
  - {id: play, use: media.wait_playing, with: {seconds: "${params.seconds}"}, timeout: 59s}
""",
    "look": """
workflow: look
timeout: 60s
bounds: {shot: {timeout: {minimum: 5s, maximum: 59s}}}
steps:
  - {id: shot, use: screen.capture, timeout: 58s}
""",
    "tap": """
workflow: tap
timeout: 60s
retry: {attempts: 3, backoff: 2s}
steps:
  - {id: press, use: ui.tap, with: {text: OK}, timeout: 50s}
""",
    "watch": """
workflow: watch
timeout: 60s
retry: {attempts: 2, backoff: 1s}
steps:
  - {id: open, use: ui.tap, with: {text: OK}, timeout: 10s}
  - {id: play, use: wait, with: {for: 34s}}
  - {id: proof, use: screen.capture, timeout: 15s}
""",
    "rest": """
workflow: rest
timeout: 60s
steps:
  - {id: shot, use: screen.capture, timeout: 15s}
  - {id: pause, use: wait, with: {for: 42s}}
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
    # Before `journey`, which calls it.
    "sign-in": """
workflow: sign-in
timeout: 60s
params: {account: {type: string, default: kim}}
steps:
  - {id: tap, use: ui.tap, with: {text: OK}, timeout: 12s, idempotent: true, retry: {attempts: 2, backoff: 1s}}
  - {id: type, use: ui.text, with: {text: "${secret.password}"}, sensitive: true, timeout: 10s}
on_failure:
  - {id: back, use: ui.key, with: {key: BACK}, timeout: 5s}
always:
  - {id: home, use: ui.key, with: {key: HOME}, timeout: 5s}
outputs: {who: "${params.account}"}
""",
    "journey": """
workflow: journey
timeout: 60s
retry: {attempts: 3, backoff: 1s, on: [device, infrastructure, timeout, app, unknown]}
params: {rounds: {type: integer, default: 2}}
steps:
  - id: meanwhile
    use: flow.repeat
    with: {times: 5, pause: 3s}
    needs: []
    steps:
      - {id: tick, use: wait, with: {for: 3s}}
  - id: login
    use: workflow.call
    needs: []
    with: {workflow: sign-in, params: {account: lee}}
    timeout: 40s
    retry: {attempts: 2, backoff: 1s, on: [device, app, timeout]}
  - id: loop
    use: flow.repeat
    with: {times: 3, within: 12s, pause: 1s}
    optional: true
    timeout: 15s
    steps:
      - {id: scroll, use: ui.tap, with: {text: more}, timeout: 9s}
      - {id: breath, use: wait, with: {for: 1s}}
  - id: settle
    use: flow.until
    with: {times: 4, pause: 1s}
    until: "round.number >= params.rounds"
    timeout: 30s
    expect: "outputs.rounds < 3"
    steps:
      - {id: nudge, use: ui.key, with: {key: HOME}, timeout: 7s}
  - {id: tell, use: report, with: {values: {who: "${steps.login.who}", rounds: "${steps.settle.rounds}"}}}
""",
    "errand": """
workflow: errand
timeout: 60s
steps:
  - {id: ask, use: http.request, with: {url: "http://shop.example/"}, needs: [], timeout: 20s}
  - {id: press, use: ui.tap, with: {text: OK}, needs: [], timeout: 20s, retry: {attempts: 3, backoff: 8s}}
  - {id: pause, use: wait, with: {for: 20s}}
""",
    "parcel": """
workflow: parcel
timeout: 60s
steps:
  - {id: push, use: file.push, with: {file: tools/probe, path: /data/local/tmp/probe}, timeout: 30s}
  - {id: more, use: file.push, with: {file: "tools/${device.model}", path: /data/local/tmp/more}, timeout: 30s}
  - {id: type, use: ui.text, with: {text: "${secret.password}"}, sensitive: true, timeout: 20s}
""",
}
"""``broken`` refers to an output that its simulated step never gives: it fails as a user's mistake."""
