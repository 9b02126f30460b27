"""The ways to a device: `base` is the contract, `adb` and `fake` keep it (step 9)."""
