"""The adb driver: real phones, and simulated ones, behind a supervised adb server (step 9).

Everything speaks to the server through a small smart-socket client on trio (`client`), so that a cancel scope ends
any call at once and leaves no thread and no socket behind; file transfers and installs too (`sync`, `device`). Of
adbutils only its adb binary is used, and the package is never imported.

Reading order: `driver` (what a node holds) -> `tracking` (which devices are there; `registry` decides, `probing`
asks them) -> `device` (what steps call) -> `client`, `shell`, `sync` (bytes) and `server` (the child process).
"""
