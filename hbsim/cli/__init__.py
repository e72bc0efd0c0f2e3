"""The command line: the commands of ``hbsim``, and what they share."""
