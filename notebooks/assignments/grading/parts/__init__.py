"""What each part of a problem set must do: tests, with their reference answers."""
