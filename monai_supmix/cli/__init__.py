"""The command line: one file for each kind of command, see `monai_supmix.__main__`."""
