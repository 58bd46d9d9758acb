"""Real parts for tests: servers started as processes of their own, ended by their pid."""
