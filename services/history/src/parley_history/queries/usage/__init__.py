"""Usage reports: sums of tokens and cost by day, session, assistant, model or user."""
