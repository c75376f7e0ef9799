"""What a person takes away: a session, or all of theirs, as JSON or as Markdown."""
