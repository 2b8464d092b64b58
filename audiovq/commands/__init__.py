"""The commands of the command line, grouped; each module adds its own to the app."""
