"""What the measuring scripts share: servers that always end, and verdicts on numbers."""
