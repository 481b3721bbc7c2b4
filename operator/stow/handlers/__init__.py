"""The only importer of kopf: thin handlers, the scheduler behind them, one place that publishes an Outcome."""
