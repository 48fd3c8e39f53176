"""Background jobs with live progress, on a database."""
