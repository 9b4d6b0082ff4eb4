"""Pool other people's GPUs into one computer, from plain Python."""
