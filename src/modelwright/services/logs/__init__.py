"""CloudWatch Logs. Times are milliseconds; lines older than their group's retention are in no answer."""
