"""The built-in steps as a node performs them (step 8); their schemas are in doai.workflow.steps."""
