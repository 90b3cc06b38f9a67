"""What every room stands on: errors, configuration, paths, events, units and file containers."""
