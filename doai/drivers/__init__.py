"""The ways to a device: `base` is the contract, `adb`, `fake` and `xiaowei` keep it (step 9)."""
