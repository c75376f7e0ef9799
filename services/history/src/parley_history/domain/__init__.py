"""What the log says, as rows: pure, so that live projection and rebuild give the same."""
