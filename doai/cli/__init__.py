"""The command line: one module a program in bin/, and `doai` itself (all steps)."""
