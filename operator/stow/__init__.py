"""stow-operator: object storage described once, containers by kubectl, objects by HTTP."""

__version__ = "0.1.0"
