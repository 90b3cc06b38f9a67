"""A run's events in other tools' views: each adapter imports its tool only when it is asked for."""
