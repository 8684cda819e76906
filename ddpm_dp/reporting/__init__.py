"""Numbers for people: held-out tables, files to publish, the pictures of the course, the demo."""
