"""Workflows (recipes), pure: model, validation, graph, expressions, step schemas (steps 2 and 8)."""
