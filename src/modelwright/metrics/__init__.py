"""What CloudWatch computes: aggregates with percentiles, periods and retention, metric math. Pure."""
