"""What several vendors' modules share."""
