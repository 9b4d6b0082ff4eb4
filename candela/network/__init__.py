"""Networks: what a chain starts from, and how one is started on a laptop."""
