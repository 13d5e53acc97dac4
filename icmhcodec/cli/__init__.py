"""The command line: one file per command; click and rich are used only here."""
